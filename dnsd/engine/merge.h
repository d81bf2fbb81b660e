/* Tables of names made from other tables: merged, or compared. */

#ifndef DNSD_MERGE_H
#define DNSD_MERGE_H

#include "output.h"

/* Append all entries of a walk through a zone, after its mark if there are any. 0, or -1. */
static int put_walk(Output *out, Walk *walk, const unsigned char *apex, int apex_size, int keep_gone) {
    Cursor at;
    int is_marked = 0;
    while (next_entry(walk, &at)) {
        if (at.entry.flags & GONE && !keep_gone) continue;
        if (!is_marked++ && put_mark(out, apex, apex_size) < 0) return -1;
        if (put_copy(out, at.of, &at.entry, at.next, at.entry.flags & ~MARK) < 0) return -1;
    }
    return 0;
}

static int compare_sought(const void *a, const void *b) {
    const Sought *x = a, *y = b;
    return compare_names(x->name, x->size, y->name, y->size);
}

/* Leave the entries of a zone out of a walk, but for those of the latest table. */
static void keep_latest(Walk *walk, const Mapped *latest) {
    int count = 0;
    for (int i = 0; i < walk->count; i++)
        if (walk->cursors[i].of == latest) walk->cursors[count++] = walk->cursors[i];
    walk->count = count;
}

/* Write the entries of several tables, the latest last; without those that are GONE, or with them. Of the zones given,
   in order, only those of the latest. */
static void put_merged(Output *out, const Mapped *layers, int count, int keep_gone, const Sought *zones, size_t zone_count) {
    uint32_t at[MAX_LAYERS] = {0};
    Walk walk;
    Entry mark;
    while (next_zone(layers, count, at, &mark, &walk)) {
        Sought zone = {mark.name, mark.name_size, 0};
        if (zone_count && bsearch(&zone, zones, zone_count, sizeof *zones, compare_sought))
            keep_latest(&walk, &layers[count - 1]);
        if (put_walk(out, &walk, mark.name, mark.name_size, keep_gone) < 0) return;
    }
}

/* Whether two entries, up to their ends, are the same octets. */
static int are_equal(const Cursor *a, const Cursor *b) {
    uint64_t size = a->next - a->entry.place;
    return size == b->next - b->entry.place &&
           !memcmp(a->of->entries + a->entry.place, b->of->entries + b->entry.place, size);
}

/* Append what turns a zone of the old tables into that of the new one. 0, or -1; also with more than `most` entries. */
static int put_difference(Output *out, Walk *old, Walk *new, const Sought *apex, uint64_t most) {
    Cursor before, after;
    int has_before = next_entry(old, &before), has_after = next_entry(new, &after), is_marked = 0;
    while (has_before || has_after) {
        if (out->head.entries > most) return -1;
        int order = !has_before ? 1 : !has_after ? -1 : compare_names(before.entry.name, before.entry.name_size,
                                                                      after.entry.name, after.entry.name_size);
        int is_removed = order < 0 && !(before.entry.flags & GONE);
        int is_new = order > 0 || (order == 0 && !are_equal(&before, &after));
        if ((is_removed || is_new) && !is_marked++ && put_mark(out, apex->name, apex->size) < 0) return -1;
        if (is_removed && put_entry(out, GONE | (before.entry.flags & SHADOWED), before.entry.kind, before.entry.name,
                                    before.entry.name_size, 0, NULL, 0) < 0)
            return -1;
        if (is_new && put_copy(out, after.of, &after.entry, after.next, after.entry.flags & ~MARK) < 0) return -1;
        if (order <= 0) has_before = next_entry(old, &before);
        if (order >= 0) has_after = next_entry(new, &after);
    }
    return 0;
}

/* Write what turns these zones, in order, of the old tables into those of the new one; up to `most` entries, or a few
   more. */
static void put_differences(Output *out, const Mapped *old, int count, const Mapped *new, const Sought *zones,
                            size_t zone_count, uint64_t most) {
    for (size_t k = 0; k < zone_count; k++) {
        const Sought *apex = &zones[k];
        Walk before = {.count = 0}, after = {.count = 0};
        if (k && !compare_sought(apex - 1, apex)) continue;
        for (int i = 0; i < count; i++) add_cursor(&before, &old[i], find_range(&old[i], apex->name, apex->size));
        add_cursor(&after, new, find_range(new, apex->name, apex->size));
        if (put_difference(out, &before, &after, apex, most) < 0) return;
    }
}

#endif

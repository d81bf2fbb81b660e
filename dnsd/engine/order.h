/* The canonical order of names (RFC 4034 §6.1), and tables of names searched and walked in that order. */

#ifndef DNSD_ORDER_H
#define DNSD_ORDER_H

#include "entry.h"

enum { MAX_LABELS = 128, MAX_LAYERS = 3 };

/* The offsets of a name's labels. Whatever the octets are, all are within the name. */
static inline int labels_of(const unsigned char *name, int size, unsigned char starts[MAX_LABELS]) {
    int count = 0;
    for (int at = 0; at < size && name[at] && count < MAX_LABELS; at += 1 + name[at]) starts[count++] = at;
    return count;
}

/* The octets of the label at `start`, at most up to the end of the name. */
static inline int label_size(const unsigned char *name, int size, int start) {
    int length = name[start], room = size - start - 1;
    return length < room ? length : room;
}

/* Negative, 0 or positive, as `a` comes before, is, or comes after `b`. */
static int compare_names(const unsigned char *a, int a_size, const unsigned char *b, int b_size) {
    unsigned char a_starts[MAX_LABELS], b_starts[MAX_LABELS];
    int i = labels_of(a, a_size, a_starts), j = labels_of(b, b_size, b_starts);
    while (i && j) {
        int a_start = a_starts[--i], b_start = b_starts[--j];
        int a_length = label_size(a, a_size, a_start), b_length = label_size(b, b_size, b_start);
        int found = memcmp(a + a_start + 1, b + b_start + 1, a_length < b_length ? a_length : b_length);
        if (found) return found;
        if (a_length != b_length) return a_length - b_length;
    }
    return i - j;
}

/* Whether a name is `above` or below it. */
static int is_within(const unsigned char *name, int size, const unsigned char *above, int above_size) {
    int at = 0, excess = size - above_size;
    if (excess < 0 || memcmp(name + excess, above, above_size)) return 0;
    while (at < excess) at += 1 + name[at];
    return at == excess;
}

/* The place of entry number `i` of `order` or `zones`. */
static inline uint64_t place_in(const unsigned char *places, uint64_t i) { return (uint64_t)u32_at(places + 4 * i) * 4; }

typedef struct {
    const unsigned char *name;
    int size;
    int past; /* names below it count as before it */
} Sought;

/* Whether an entry comes before the name sought. */
static int is_before(const Entry *entry, const Sought *sought) {
    if (sought->past && is_within(entry->name, entry->name_size, sought->name, sought->size)) return 1;
    return compare_names(entry->name, entry->name_size, sought->name, sought->size) < 0;
}

/* The number of the first zone that does not come before a name. */
static uint32_t seek_zone(const Mapped *self, const unsigned char *name, int size) {
    uint32_t low = 0, high = self->head.zones;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        Entry mark;
        int before = entry_at(self, place_in(self->zones, middle), &mark) &&
                     compare_names(mark.name, mark.name_size, name, size) < 0;
        if (before) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* The entries of a zone: from the first after its mark, up to the next mark. Both may be any number. */
typedef struct {
    uint64_t start, end;
} Range;

static Range range_of(const Mapped *self, uint32_t zone, const Entry *mark) {
    uint64_t size = self->head.size;
    uint64_t end = zone + 1 < self->head.zones ? place_in(self->zones, zone + 1) : size;
    return (Range){fourfold(mark->sets), end < size ? end : size};
}

/* The entries of the zone with this name; none if there is no such zone. */
static Range find_range(const Mapped *self, const unsigned char *apex, int size) {
    uint32_t zone = seek_zone(self, apex, size);
    Entry mark;
    if (zone >= self->head.zones || !entry_at(self, place_in(self->zones, zone), &mark) || mark.name_size != size ||
        memcmp(mark.name, apex, size))
        return (Range){0, 0};
    return range_of(self, zone, &mark);
}

/* The place of the first entry in a range that does not come before a name, and of the last that does (else
   UINT64_MAX). */
static uint64_t seek(const Mapped *self, Range range, const Sought *sought, uint64_t *before) {
    uint64_t low = 0, high = order_count(self->head.entries), at = range.start;
    Entry entry;
    while (low < high) { /* the last place in `order` that is in the range and before the name */
        uint64_t middle = low + (high - low) / 2, place = place_in(self->order, middle);
        int is_early = place < range.start ||
                       (place < range.end && entry_at(self, place, &entry) && is_before(&entry, sought));
        if (is_early) low = middle + 1;
        else high = middle;
    }
    if (low && place_in(self->order, low - 1) > at) at = place_in(self->order, low - 1);
    *before = UINT64_MAX;
    int has_ns;
    while (at < range.end && entry_at(self, at, &entry) && is_before(&entry, sought)) {
        uint64_t next = entry_end(self, &entry, &has_ns);
        if (!next) return range.end;
        *before = at;
        at = next;
    }
    return at < range.end ? at : range.end;
}

/* A walk through one zone of several tables, later ones changing earlier ones, in canonical order. */
typedef struct {
    const Mapped *of;
    Range left;
    Entry entry; /* the first of those left, if `left` is not empty */
    uint64_t next;
    int has_ns;
} Cursor;

typedef struct {
    Cursor cursors[MAX_LAYERS];
    int count;
} Walk;

static void load(Cursor *self) {
    if (self->left.start >= self->left.end || !entry_at(self->of, self->left.start, &self->entry) ||
        !(self->next = entry_end(self->of, &self->entry, &self->has_ns)))
        self->left.start = self->left.end = 0;
}

static void add_cursor(Walk *walk, const Mapped *of, Range range) {
    Cursor *cursor = &walk->cursors[walk->count++];
    *cursor = (Cursor){.of = of, .left = range};
    load(cursor);
}

static inline int is_at_end(const Cursor *self) { return self->left.start >= self->left.end; }

/* The next entry of a walk, from the latest table that has the name: a copy of its cursor. Whether there is one. */
static int next_entry(Walk *walk, Cursor *found) {
    Cursor *first = NULL, *same[MAX_LAYERS];
    int count = 0;
    for (int i = 0; i < walk->count; i++) {
        Cursor *one = &walk->cursors[i];
        if (is_at_end(one)) continue;
        int order = !first ? -1 : compare_names(one->entry.name, one->entry.name_size, first->entry.name,
                                                first->entry.name_size);
        if (order > 0) continue;
        if (order < 0) count = 0;
        same[count++] = first = one;
    }
    if (!first) return 0;
    *found = *first;
    for (int i = 0; i < count; i++) {
        same[i]->left.start = same[i]->next;
        load(same[i]);
    }
    return 1;
}

/* Begin a walk through the next zone of several tables; `at` are the numbers of their next zones, at first 0. Whether
   there is one; then `first` is one of its marks. */
static int next_zone(const Mapped *layers, int count, uint32_t at[MAX_LAYERS], Entry *first, Walk *walk) {
    Entry marks[MAX_LAYERS];
    int has[MAX_LAYERS], found = 0;
    for (int i = 0; i < count; i++) {
        const Mapped *of = &layers[i];
        has[i] = at[i] < of->head.zones && entry_at(of, place_in(of->zones, at[i]), &marks[i]);
        if (has[i] &&
            (!found || compare_names(marks[i].name, marks[i].name_size, first->name, first->name_size) < 0)) {
            *first = marks[i];
            found = 1;
        }
    }
    walk->count = 0;
    for (int i = 0; i < count; i++) {
        if (!has[i] || marks[i].name_size != first->name_size ||
            memcmp(marks[i].name, first->name, first->name_size))
            continue;
        add_cursor(walk, &layers[i], range_of(&layers[i], at[i], &marks[i]));
        at[i]++;
    }
    return found;
}

#endif

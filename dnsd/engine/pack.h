/* From the rows of zones, in any order, to a table of names: the order, the flags, and the empty non-terminals. */

#ifndef DNSD_PACK_H
#define DNSD_PACK_H

#include "output.h"

typedef struct {
    const unsigned char *apex;
    int apex_size;
    uint32_t kind; /* of empty non-terminals */
    Mapped rows;   /* only the entries */
} ZoneRows;

/* A row with the first 16 octets of its name's sort key, which nearly always decide. */
typedef struct {
    uint64_t key[2];
    const unsigned char *row;
} SortRow;

typedef struct {
    SortRow *rows;
    size_t count, room;
} SortRows;

static uint64_t big_endian(const unsigned char *octets) {
    uint64_t number = 0;
    for (int i = 0; i < 8; i++) number = number << 8 | octets[i];
    return number;
}

/* The labels below the zone's name from the right, a zero octet after each; 00 and 01 in labels are 01 01 and 01 02. */
static void make_sort_key(const unsigned char *name, int size, int apex_size, uint64_t key[2]) {
    unsigned char starts[MAX_LABELS], octets[18] = {0};
    int at = 0, i = labels_of(name, size - apex_size, starts);
    while (i-- && at < 16) {
        const unsigned char *label = name + starts[i];
        int length = label_size(name, size - apex_size, starts[i]);
        for (int k = 1; k <= length && at < 16; k++) {
            if (label[k] < 2) octets[at++] = 1;
            octets[at++] = label[k] < 2 ? label[k] + 1 : label[k];
        }
        octets[at++] = 0;
    }
    key[0] = big_endian(octets);
    key[1] = big_endian(octets + 8);
}

static int compare_rows(const void *a, const void *b) {
    const SortRow *x = a, *y = b;
    if (x->key[0] != y->key[0]) return x->key[0] < y->key[0] ? -1 : 1;
    if (x->key[1] != y->key[1]) return x->key[1] < y->key[1] ? -1 : 1;
    return compare_names(x->row + ENTRY_FIXED, x->row[1], y->row + ENTRY_FIXED, y->row[1]);
}

/* Whether the octets are a whole name without pointers. */
static int is_name(const unsigned char *name, int size) {
    int at = 0;
    while (at < size && name[at] && name[at] < 64) at += 1 + name[at];
    return at == size - 1 && !name[at];
}

/* Collect the rows of a zone in canonical order. NULL, or the problem. */
static const char *sort_rows(SortRows *to, const ZoneRows *zone, int are_changes) {
    uint64_t place = 0, next;
    Entry entry;
    int has_ns, is_sorted = 1;
    to->count = 0;
    for (; place < zone->rows.head.size; place = next) {
        if (!entry_at(&zone->rows, place, &entry) || !(next = entry_end(&zone->rows, &entry, &has_ns)))
            return "a row of a table is cut off";
        if (!is_name(entry.name, entry.name_size) ||
            !is_within(entry.name, entry.name_size, zone->apex, zone->apex_size))
            return "a row's name is not in its zone";
        if (entry.flags & MARK || (!are_changes && entry.flags & (EMPTY | GONE))) continue;
        if (to->count == to->room) {
            size_t room = to->room ? 2 * to->room : 256;
            SortRow *rows = PyMem_RawRealloc(to->rows, room * sizeof *rows);
            if (!rows) return NO_MEMORY;
            *to = (SortRows){rows, to->count, room};
        }
        SortRow *row = &to->rows[to->count++];
        row->row = zone->rows.entries + place;
        make_sort_key(entry.name, entry.name_size, zone->apex_size, row->key);
        is_sorted = is_sorted && (to->count == 1 || compare_rows(row - 1, row) < 0);
    }
    if (!is_sorted) qsort(to->rows, to->count, sizeof *to->rows, compare_rows);
    for (size_t i = 1; !is_sorted && i < to->count; i++)
        if (!compare_rows(&to->rows[i - 1], &to->rows[i])) return "two rows have the same name";
    return NULL;
}

static int compare_zones(const void *a, const void *b) {
    const ZoneRows *x = a, *y = b;
    return compare_names(x->apex, x->apex_size, y->apex, y->apex_size);
}

/* The search for names at or below the name of a child zone; they are asked for in canonical order. */
typedef struct {
    const ZoneRows *zone, *end; /* end: of all zones */
    const ZoneRows *next, *last; /* the next child, and the last one not after the name; else NULL */
} Children;

static int is_child(const Children *self, const ZoneRows *zone, const ZoneRows *above) {
    return zone < self->end && is_within(zone->apex, zone->apex_size, above->apex, above->apex_size);
}

static int is_shadowed(Children *self, const unsigned char *name, int size) {
    while (is_child(self, self->next, self->zone) &&
           compare_names(self->next->apex, self->next->apex_size, name, size) <= 0) {
        self->last = self->next++;
        while (is_child(self, self->next, self->last)) self->next++;
    }
    return self->last && is_within(name, size, self->last->apex, self->last->apex_size);
}

typedef struct {
    Output *out;
    const ZoneRows *zone;
    Children children;
    const unsigned char *cut, *last; /* rows: the last delegation, the last row; else NULL */
} Flagging;

/* Append the ancestors of a row's name that no row before it shares. 0, or -1. */
static int put_empty(Flagging *self, const unsigned char *name, int size) {
    unsigned char starts[MAX_LABELS];
    const ZoneRows *zone = self->zone;
    const unsigned char *last = self->last;
    for (int i = labels_of(name, size - zone->apex_size, starts); i-- > 1;) {
        const unsigned char *above = name + starts[i];
        int above_size = size - starts[i];
        if (last && is_within(last + ENTRY_FIXED, last[1], above, above_size)) continue;
        int flags = EMPTY | (is_shadowed(&self->children, above, above_size) ? SHADOWED : 0);
        if (put_entry(self->out, flags, zone->kind, above, above_size, 0, NULL, 0) < 0) return -1;
    }
    return 0;
}

/* A row that ends at `end`, with its flags; appends the empty non-terminals above it. -1 after an error. */
static int flags_of(Flagging *self, const unsigned char *row, const Entry *entry, int has_ns) {
    const unsigned char *cut = self->cut;
    int flags = entry->flags & ~COMPUTED;
    if (cut && is_within(entry->name, entry->name_size, cut + ENTRY_FIXED, cut[1])) flags |= OCCLUDED;
    else if (put_empty(self, entry->name, entry->name_size) < 0) return -1;
    else if (has_ns && entry->name_size != self->zone->apex_size) {
        flags |= CUT;
        self->cut = row;
    }
    if (is_shadowed(&self->children, entry->name, entry->name_size)) flags |= SHADOWED;
    self->last = row;
    return flags;
}

/* Append a zone. 0, or -1. */
static int put_zone(Output *out, SortRows *rows, const ZoneRows *zones, size_t at, size_t count, int are_changes) {
    const ZoneRows *zone = &zones[at];
    if (!zone->rows.head.size) return 0; /* its names are not in this table */
    if ((out->problem = sort_rows(rows, zone, are_changes))) return -1;
    if (!are_changes && (!rows->count || rows->rows[0].row[1] != zone->apex_size)) {
        out->problem = "a zone has no row of its own name";
        return -1;
    }
    if (put_mark(out, zone->apex, zone->apex_size) < 0) return -1;
    Flagging flagging = {out, zone, {zone, zones + count, zone + 1, NULL}, NULL, NULL};
    for (size_t i = 0; i < rows->count; i++) {
        const unsigned char *row = rows->rows[i].row;
        uint64_t end = 0;
        Entry entry;
        int has_ns;
        if (entry_at(&zone->rows, row - zone->rows.entries, &entry)) end = entry_end(&zone->rows, &entry, &has_ns);
        if (!end) { /* another thread has changed it since it was sorted */
            out->problem = "a row of a table is cut off";
            return -1;
        }
        int flags = are_changes ? entry.flags : flags_of(&flagging, row, &entry, has_ns);
        if (flags < 0 || put_copy(out, &zone->rows, &entry, end, flags) < 0) return -1;
    }
    return 0;
}

/* Write the entries of all zones. */
static void put_zones(Output *out, ZoneRows *zones, size_t count, int are_changes) {
    SortRows rows = {0};
    qsort(zones, count, sizeof *zones, compare_zones);
    for (size_t i = 1; i < count; i++)
        if (!compare_zones(&zones[i - 1], &zones[i])) out->problem = "two zones have the same name";
    for (size_t i = 0; i < count && !out->problem; i++)
        if (put_zone(out, &rows, zones, i, count, are_changes) < 0) break;
    PyMem_RawFree(rows.rows);
}

#endif

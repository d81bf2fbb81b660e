/* A table of names under construction: its entries, in order, then everything that is made from them.

   The entries are written without the GIL; only to make room it is taken. After an error nothing more is written. */

#ifndef DNSD_OUTPUT_H
#define DNSD_OUTPUT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "order.h"

static const char NO_MEMORY[] = "no memory";

typedef struct {
    uint32_t *numbers;
    size_t count, room;
} Numbers;

typedef struct {
    PyObject *bytes; /* NULL after an error */
    size_t size, room;
    TableHead head;
    uint32_t hashed;  /* entries in the hash, at most */
    int may_repeat;   /* whether several of them may have one name */
    Numbers order, zones;
    PyThreadState *thread; /* while the GIL is released */
    const char *problem;   /* for a ValueError */
} Output;

static inline unsigned char *octets_of(const Output *self) { return (unsigned char *)PyBytes_AS_STRING(self->bytes); }

/* Begin with room for so many octets of entries, and release the GIL. 0, or -1 with an exception. */
static int begin_output(Output *self, const uint64_t key[2], uint64_t expected) {
    *self = (Output){.room = sizeof self->head + expected, .size = sizeof self->head};
    memcpy(self->head.magic, TABLE_MAGIC, sizeof self->head.magic);
    memcpy(self->head.key, key, sizeof self->head.key);
    if (!(self->bytes = PyBytes_FromStringAndSize(NULL, self->room))) return -1;
    self->thread = PyEval_SaveThread();
    return 0;
}

/* Make room for so many more octets. 0, or -1. */
static int make_room(Output *self, uint64_t more) {
    if (!self->bytes || self->problem) return -1;
    if (self->room - self->size >= more) return 0;
    size_t room = self->size + more + self->size / 2;
    PyEval_RestoreThread(self->thread);
    int failed = _PyBytes_Resize(&self->bytes, room);
    self->thread = PyEval_SaveThread();
    if (!failed) self->room = room;
    return failed;
}

static int append_number(Output *self, Numbers *to, uint64_t place) {
    if (to->count == to->room) {
        size_t room = to->room ? 2 * to->room : 64;
        uint32_t *numbers = PyMem_RawRealloc(to->numbers, room * sizeof *numbers);
        if (!numbers) {
            self->problem = NO_MEMORY;
            return -1;
        }
        *to = (Numbers){numbers, to->count, room};
    }
    to->numbers[to->count++] = place / 4;
    return 0;
}

/* Append an entry: its sets are octets of another table or of rows. 0, or -1. */
static int put_entry(Output *self, unsigned char flags, uint32_t kind, const unsigned char *name, int name_size,
                     uint16_t set_count, const unsigned char *sets, uint64_t sets_size) {
    uint64_t place = self->size - sizeof self->head, fixed = ENTRY_FIXED + even(name_size);
    uint64_t size = fourfold(fixed + sets_size);
    if (make_room(self, size) < 0) return -1;
    if (place + size > MAX_ENTRIES || self->head.entries == UINT32_MAX) {
        self->problem = "these names do not fit into a table";
        return -1;
    }
    if (self->head.entries % ORDER_STEP == 0 && append_number(self, &self->order, place) < 0) return -1;
    if (flags & MARK && append_number(self, &self->zones, place) < 0) return -1;
    unsigned char *out = octets_of(self) + self->size;
    out[0] = flags;
    out[1] = name_size;
    memcpy(out + 2, &set_count, 2);
    memcpy(out + 4, &kind, 4);
    memcpy(out + ENTRY_FIXED, name, name_size);
    out[fixed - 1] = name_size & 1 ? 0 : out[fixed - 1];
    if (sets_size) memcpy(out + fixed, sets, sets_size);
    memset(out + fixed + sets_size, 0, size - fixed - sets_size);
    self->size += size;
    self->head.entries++;
    if (self->head.longest < (uint32_t)name_size) self->head.longest = name_size;
    self->hashed += !(flags & (MARK | SHADOWED));
    self->head.names += !(flags & (MARK | SHADOWED | OCCLUDED | GONE));
    return 0;
}

static int put_mark(Output *self, const unsigned char *apex, int size) {
    self->head.zones++;
    return put_entry(self, MARK, 0, apex, size, 0, NULL, 0);
}

/* Append a copy of an entry, which ends at `end`, with other flags. 0, or -1. */
static int put_copy(Output *self, const Mapped *of, const Entry *entry, uint64_t end, unsigned char flags) {
    return put_entry(self, flags, entry->kind, entry->name, entry->name_size, entry->set_count,
                     of->entries + entry->sets, end - entry->sets);
}

/* An entry that is to be found by its hash. */
typedef struct {
    uint64_t place;
    uint32_t slot; /* at which the search for it begins */
} Hashed;

enum { AT_ONCE = 32 }; /* entries whose slots are fetched together: most of the time is the wait for memory otherwise */

/* Collect the next entries that are hashed, from `place` on. Their number. */
static int next_hashed(const Mapped *made, const unsigned char *slots, uint64_t *place, Hashed found[AT_ONCE]) {
    int count = 0, has_ns;
    Entry entry;
    while (count < AT_ONCE && *place < made->head.size && entry_at(made, *place, &entry)) {
        uint64_t next = entry_end(made, &entry, &has_ns);
        if (!next) break; /* octets changed while they were copied */
        if (!(entry.flags & (MARK | SHADOWED))) {
            uint32_t slot = siphash(made->head.key, entry.name, entry.name_size) & (made->head.slots - 1);
            __builtin_prefetch(slots + 4 * (size_t)slot, 1);
            found[count++] = (Hashed){*place, slot};
        }
        *place = next;
    }
    return count;
}

/* Write the slot of an entry: of several with one name, of one that is not GONE. */
static void put_slot(const Mapped *made, unsigned char *slots, Hashed one, int may_repeat) {
    uint32_t number = one.place / 4 + 1, taken, slot = one.slot;
    Entry entry, other = {.flags = 0};
    for (; (taken = u32_at(slots + 4 * (size_t)slot)); slot = (slot + 1) & (made->head.slots - 1))
        if (may_repeat && entry_at(made, one.place, &entry) && entry_at(made, ((uint64_t)taken - 1) * 4, &other) &&
            other.name_size == entry.name_size && !memcmp(other.name, entry.name, entry.name_size))
            break;
    if (!taken || other.flags & GONE) memcpy(slots + 4 * (size_t)slot, &number, 4);
}

static void hash_entries(const Mapped *made, unsigned char *slots, int may_repeat) {
    Hashed found[AT_ONCE];
    uint64_t place = 0;
    for (int count; (count = next_hashed(made, slots, &place, found));)
        for (int i = 0; i < count; i++) put_slot(made, slots, found[i], may_repeat);
}

/* Write everything after the entries, and the head. 0, or -1. */
static int write_tail(Output *self) {
    TableHead *head = &self->head;
    head->size = self->size - sizeof *head;
    head->slots = 2;
    while ((uint64_t)self->hashed * 4 > (uint64_t)head->slots * 3) head->slots *= 2;
    uint64_t slots_size = 4 * (uint64_t)head->slots, tail = slots_size + 4 * (self->order.count + self->zones.count);
    if (self->hashed > UINT32_MAX / 4 * 3) self->problem = "these names do not fit into a table";
    if (make_room(self, tail) < 0) return -1;
    unsigned char *slots = octets_of(self) + self->size, *order = slots + slots_size;
    memset(slots, 0, slots_size);
    if (self->order.count) memcpy(order, self->order.numbers, 4 * self->order.count);
    if (self->zones.count) memcpy(order + 4 * self->order.count, self->zones.numbers, 4 * self->zones.count);
    memcpy(octets_of(self), head, sizeof *head);
    self->size += tail;
    Mapped made;
    if (map_table(&made, octets_of(self), self->size)) hash_entries(&made, slots, self->may_repeat);
    return 0;
}

/* Take the GIL, and return the octets; NULL with an exception after an error. */
static PyObject *end_output(Output *self) {
    if (self->bytes && !self->problem) write_tail(self);
    PyMem_RawFree(self->order.numbers);
    PyMem_RawFree(self->zones.numbers);
    PyEval_RestoreThread(self->thread);
    if (self->problem) {
        PyErr_SetString(self->problem == NO_MEMORY ? PyExc_MemoryError : PyExc_ValueError, self->problem);
        Py_CLEAR(self->bytes);
    }
    if (self->bytes) _PyBytes_Resize(&self->bytes, self->size);
    return self->bytes;
}

#endif

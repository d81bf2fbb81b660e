/* The table of names as octets, which processes map from a file: one entry for each name, found by a hash.

   All numbers are little-endian. The octets are: the head, then

     entries   zone by zone, the zones by their names in canonical order (RFC 4034 §6.1), in a zone also in that order
     slots     u32 each, a power of two of them, at most 3/4 full: 0, or the place of an entry / 4 + 1; the search for
               a name begins at the slot of its SipHash-1-3 and ends at an empty slot
     order     u32 each: the place / 4 of every 16th entry, for bisection
     zones     u32 each: the place / 4 of the entry that marks the begin of a zone

   A *place* is an offset in the entries. An entry is: u8 flags, u8 octets of the name, u16 number of sets, u32 kind, the
   name, and the sets; it begins at a multiple of 4. Names and sets end at multiples of 2, by a zero octet if need be. A
   set is an RRset as the body of its answer: u16 type, u16 records, u16 octets of the body, the body (the owner
   of each record is the pointer C0 0C). Of a body of 65,535 octets or more, the u16 is 0xFFFF, and a u32 follows.

   Only the head is checked at once, as a table may be large. Whatever follows it, even if it changes while mapped, every
   search ends and reads nothing outside of the octets. */

#ifndef DNSD_ENTRY_H
#define DNSD_ENTRY_H

#include "../siphash.h"

enum {
    CUT = 1,       /* a delegation */
    OCCLUDED = 2,  /* below a delegation: found as glue, but not answered */
    EMPTY = 4,     /* an empty non-terminal */
    PLAIN = 8,     /* its sets are its answers */
    SPECIAL = 16,  /* has a rule */
    GONE = 32,     /* in changes: the name is removed */
    SHADOWED = 64, /* at or below the name of a child zone that is served: not in the hash */
    MARK = 128,    /* the begin of a zone; the name is the zone's */
    COMPUTED = CUT | OCCLUDED | EMPTY | GONE | SHADOWED | MARK
};
enum { ENTRY_FIXED = 8, SET_FIXED = 6, LARGE = 0xFFFF, NAME_LIMIT = 255, ORDER_STEP = 16, TYPE_NS = 2 };
#define TABLE_MAGIC "dnsdtab1"
#define MAX_ENTRIES ((uint64_t)UINT32_MAX * 4 - 4) /* octets of all entries */

typedef struct {
    char magic[8];
    uint64_t key[2];
    uint32_t names, slots, entries, zones; /* names that exist; entries with marks */
    uint32_t longest, unused;              /* octets of the longest name; 0 */
    uint64_t size;                         /* octets of all entries */
} TableHead;

typedef struct {
    TableHead head;
    const unsigned char *entries, *slots, *order, *zones;
} Mapped;

/* An entry whose fixed part and name are within the table. */
typedef struct {
    uint64_t place, sets; /* sets: where they begin; beyond the entries if the entry is cut off */
    const unsigned char *name;
    uint32_t kind;
    uint16_t set_count;
    unsigned char flags, name_size;
} Entry;

typedef struct {
    uint16_t rtype, records;
    uint32_t size;
    const unsigned char *body;
} Set;

static inline uint32_t u32_at(const unsigned char *octets) {
    uint32_t number;
    memcpy(&number, octets, sizeof number);
    return number;
}

static inline uint16_t u16_at(const unsigned char *octets) {
    uint16_t number;
    memcpy(&number, octets, sizeof number);
    return number;
}

static inline uint64_t even(uint64_t size) { return size + (size & 1); }
static inline uint64_t fourfold(uint64_t size) { return (size + 3) & ~(uint64_t)3; }
static inline uint64_t order_count(uint64_t entries) { return (entries + ORDER_STEP - 1) / ORDER_STEP; }

/* Whether the octets begin with a head that fits their size; then `self` maps them. */
static inline int map_table(Mapped *self, const unsigned char *octets, uint64_t size) {
    TableHead head;
    if (size < sizeof head) return 0;
    memcpy(&head, octets, sizeof head);
    if (memcmp(head.magic, TABLE_MAGIC, sizeof head.magic) || !head.slots || head.slots & (head.slots - 1)) return 0;
    if (head.size > MAX_ENTRIES || head.size & 3 || head.entries > head.size / ENTRY_FIXED) return 0;
    if (head.zones > head.entries || head.names > head.entries) return 0;
    if (head.longest > NAME_LIMIT) return 0;
    uint64_t tail = 4 * ((uint64_t)head.slots + order_count(head.entries) + head.zones);
    if (size != sizeof head + head.size + tail) return 0;
    self->head = head;
    self->entries = octets + sizeof head;
    self->slots = self->entries + head.size;
    self->order = self->slots + 4 * (uint64_t)head.slots;
    self->zones = self->order + 4 * order_count(head.entries);
    return 1;
}

/* Read the fixed part and the name of the entry at a place. Whether they are within the table. */
static inline int entry_at(const Mapped *self, uint64_t place, Entry *entry) {
    uint64_t size = self->head.size;
    if (size < ENTRY_FIXED || place > size - ENTRY_FIXED) return 0;
    const unsigned char *at = self->entries + place;
    *entry = (Entry){.place = place, .name = at + ENTRY_FIXED, .flags = at[0], .name_size = at[1],
                     .set_count = u16_at(at + 2), .kind = u32_at(at + 4)};
    entry->sets = place + ENTRY_FIXED + even(entry->name_size);
    return entry->name_size <= size - ENTRY_FIXED - place;
}

/* Read the set at `at`, and move `at` to the next one. Whether it is within the table. */
static inline int next_set(const Mapped *self, uint64_t *at, Set *set) {
    uint64_t size = self->head.size, start = *at;
    if (size < SET_FIXED || start > size - SET_FIXED) return 0;
    const unsigned char *head = self->entries + start;
    *set = (Set){.rtype = u16_at(head), .records = u16_at(head + 2), .size = u16_at(head + 4)};
    start += SET_FIXED;
    if (set->size == LARGE) {
        if (size - start < 4) return 0;
        set->size = u32_at(self->entries + start);
        start += 4;
    }
    if (set->size > size - start) return 0;
    set->body = self->entries + start;
    *at = start + even(set->size);
    return 1;
}

/* The place after an entry, and whether it has an NS set; 0 if the entry is not within the table. */
static inline uint64_t entry_end(const Mapped *self, const Entry *entry, int *has_ns) {
    uint64_t at = entry->sets;
    Set set;
    *has_ns = 0;
    for (uint32_t i = 0; i < entry->set_count; i++) {
        if (!next_set(self, &at, &set)) return 0;
        *has_ns |= set.rtype == TYPE_NS;
    }
    at = fourfold(at);
    return at > self->head.size ? 0 : at;
}

/* The entry of a name, that of the deepest zone which has the name. Whether there is one; it may be GONE. */
static inline int find_hashed(const Mapped *self, const unsigned char *name, size_t size, uint64_t hash, Entry *entry) {
    uint32_t mask = self->head.slots - 1, slot = hash & mask;
    for (uint32_t left = self->head.entries; left; left--) { /* a valid table has no longer chain */
        uint32_t number = u32_at(self->slots + 4 * (size_t)slot);
        if (!number || !entry_at(self, ((uint64_t)number - 1) * 4, entry)) return 0;
        if (entry->name_size == size && !memcmp(entry->name, name, size)) return 1;
        slot = (slot + 1) & mask;
    }
    return 0;
}

static inline int find_entry(const Mapped *self, const unsigned char *name, size_t size, Entry *entry) {
    return size <= NAME_LIMIT && find_hashed(self, name, size, siphash(self->head.key, name, size), entry);
}

#endif

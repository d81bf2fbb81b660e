/* What the table of names (../engine/entry.h) says about a question: its closest encloser, and the *template* under
   which replies are kept for all names that are stored alike.

   A reply of a template is either the same for all names of a kind that do not store the type asked for; or it is the
   same but for the name's own stored set: an answer, or, at and below a delegation, its NS records, with the addresses
   that its zone has of its name servers (*glue*). Python decides whether a reply may be kept so, and a reply with a stored set must be reproduced octet for octet before it is. Part of
   the reply cache (replies.h).
*/

#ifndef DNSD_STORED_H
#define DNSD_STORED_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "../engine/entry.h"

enum {
    LAYERS = 2,                   /* a base and an overlay */
    MAX_STORED = 177,             /* octets of a set in a template; ALWAYS_FITS in answer.py: larger ones are compressed */
    MIN_UDP = 512,                /* octets that every client takes, RFC 1035 §2.3.4 */
    RECORD_FIXED = 12,            /* octets of a record before its data, with a pointer for its owner */
    QUESTION_NAME = 0xC00C,       /* a pointer to the question's name */
    COUNTS = 4, ANSWERS = 6, AUTHORITIES = 8, /* offsets of counts in a message */
    TYPE_A = 1, TYPE_SOA = 6, TYPE_AAAA = 28, TYPE_DS = 43,
    MAX_GLUE = 8,                 /* sets of addresses in a reply */
    RULE_BITS = 8,                /* of a kind; the others are the zone's number (../engine/names.py) */
    FETCHED_SLOTS = 3             /* of a chain: most names are found in these */
};

typedef struct {
    int count;                    /* of layers: 0, 1 or 2 */
    Py_buffer buffers[LAYERS];
    Mapped layers[LAYERS];        /* the base, the overlay */
    Py_ssize_t longest;           /* no name has more octets */
} Names;

/* Addresses of a name server of a delegation. */
typedef struct {
    Entry host;
    Set set;
    int is_cut;                   /* the name server has the delegation's name: a pointer stands for it, as Python has it */
} Glue;

/* A stored set in a reply, and its glue; or none. */
typedef struct {
    const unsigned char *body;    /* NULL for a reply without one */
    Py_ssize_t set_size, size;    /* octets of the set, and with its glue */
    int records, section, owner;  /* section: offset of its count; owner: of the records, a pointer */
    int glue_count, glue_records; /* sets, and records in them */
    Glue glue[MAX_GLUE];
} Stored;

static void release_names(Names *self) {
    while (self->count) PyBuffer_Release(&self->buffers[--self->count]);
}

/* Add the octets of a layer. 0, or -1 with an exception. */
static int add_layer(Names *self, PyObject *octets) {
    Py_buffer *buffer = &self->buffers[self->count];
    Mapped *layer = &self->layers[self->count];
    if (PyObject_GetBuffer(octets, buffer, PyBUF_SIMPLE) < 0) return -1;
    self->count++;
    if (!map_table(layer, buffer->buf, buffer->len) ||
        memcmp(layer->head.key, self->layers[0].head.key, sizeof layer->head.key)) {
        PyErr_SetString(PyExc_ValueError, "not a table of names, or an overlay of another table");
        return -1;
    }
    if (self->longest < layer->head.longest) self->longest = layer->head.longest;
    return 0;
}

/* Use these octets and this overlay, or None. 0, or -1 with an exception: then nothing has changed. */
static int use_names(Names *self, PyObject *octets, PyObject *overlay) {
    Names new = {.longest = 1}, old = *self; /* the root ends every name */
    if (add_layer(&new, octets) < 0 || (overlay != Py_None && add_layer(&new, overlay) < 0)) {
        release_names(&new);
        return -1;
    }
    *self = new;
    release_names(&old);
    return 0;
}

static inline uint64_t hash_of_name(const Names *self, const unsigned char *name, Py_ssize_t size) {
    return siphash(self->layers[0].head.key, name, size);
}

/* The layer with the entry of a name that exists; NULL if there is none. */
static const Mapped *find_name(const Names *self, const unsigned char *name, Py_ssize_t size, uint64_t hash,
                               Entry *entry) {
    for (int i = self->count; i--;)
        if (find_hashed(&self->layers[i], name, size, hash, entry))
            return entry->flags & (GONE | OCCLUDED) ? NULL : &self->layers[i];
    return NULL;
}

/* Find the closest encloser of a name that ends at `end`, the name itself if it exists; `hash` is the name's. Its
   layer, and where it begins; NULL without one: the name is outside of our zones. */
static const Mapped *find_encloser(const Names *self, const unsigned char **name, const unsigned char *end,
                                   uint64_t hash, Entry *entry) {
    const unsigned char *at = *name;
    while (end - at > self->longest) at += 1 + *at; /* do not look up 127 labels one by one */
    if (!self->count) return NULL;
    while (1) {
        if (at != *name) hash = hash_of_name(self, at, end - at);
        const Mapped *layer = find_name(self, at, end - at, hash, entry);
        if (layer) return *name = at, layer;
        if (!*at) return NULL;
        at += 1 + *at;
    }
}

/* Find a stored set. Whether there is one. */
static int find_set(const Mapped *layer, const Entry *entry, int rtype, Set *set) {
    uint64_t at = entry->sets;
    for (int left = entry->set_count; left; left--) {
        if (!next_set(layer, &at, set)) return 0;
        if (set->rtype == rtype) return 1;
    }
    return 0;
}

/* The next record of a set that begins at `at`: the offset of its end; 0 if it is cut off. */
static Py_ssize_t record_end(const unsigned char *body, Py_ssize_t size, Py_ssize_t at) {
    Py_ssize_t end = at + RECORD_FIXED;
    if (end <= size) end += body[end - 2] << 8 | body[end - 1];
    return end <= size ? end : 0;
}

/* Add a set of addresses. Whether it can be added. */
static int add_glue(Stored *stored, const Entry *host, const Set *set, int is_cut) {
    Py_ssize_t at = 0, owner = is_cut ? 2 : host->name_size;
    int records = 0;
    for (; at < (Py_ssize_t)set->size; records++)
        if (!(at = record_end(set->body, set->size, at))) return 0;
    stored->size += at + records * (owner - 2);
    stored->glue_records += records;
    if (stored->glue_count == MAX_GLUE || stored->size > MAX_STORED) return 0;
    stored->glue[stored->glue_count++] = (Glue){*host, *set, is_cut};
    return 1;
}

/* The entry of a name in the zone of another entry, and its layer; NULL if the zone has none that is not shadowed. */
static const Mapped *find_in_zone(const Names *names, const Entry *of, const unsigned char *name, Py_ssize_t size,
                                  Entry *entry) {
    uint64_t hash = hash_of_name(names, name, size);
    for (int i = names->count; i--;)
        if (find_hashed(&names->layers[i], name, size, hash, entry))
            return entry->flags & GONE || entry->kind >> RULE_BITS != of->kind >> RULE_BITS ? NULL : &names->layers[i];
    return NULL;
}

/* Find the name of the zone of a delegation: the closest name above with an SOA. Whether there is one. */
static int find_apex(const Names *names, const Entry *cut, Entry *apex) {
    const unsigned char *at = cut->name, *end = at + cut->name_size;
    Set set;
    while (at < end && *at) {
        at += 1 + *at;
        const Mapped *layer = at < end ? find_in_zone(names, cut, at, end - at, apex) : NULL;
        if (layer && find_set(layer, apex, TYPE_SOA, &set)) return 1;
    }
    return 0;
}

/* Whether a name ends in the octets of another, and, if `by_labels`, is at or below it. */
static int ends_in(const unsigned char *name, Py_ssize_t size, const Entry *other, int by_labels) {
    Py_ssize_t above = 0, more = size - other->name_size;
    while (by_labels && above < more) above += 1 + name[above];
    return more >= 0 && (!by_labels || above == more) && !memcmp(name + more, other->name, other->name_size);
}

/* Add the addresses of a name server, once. Whether the zone has an entry for it. */
static int add_host(const Names *names, const Entry *cut, const unsigned char *name, Py_ssize_t size, Stored *stored) {
    Entry host;
    Set set;
    const Mapped *layer = find_in_zone(names, cut, name, size, &host);
    if (!layer) return 0; /* there are no addresses, or they are shadowed: Python knows */
    for (int i = 0; i < stored->glue_count; i++)
        if (stored->glue[i].host.name == host.name) return 1;
    int is_cut = ends_in(name, size, cut, 1) && size == cut->name_size;
    return (!find_set(layer, &host, TYPE_A, &set) || add_glue(stored, &host, &set, is_cut)) &&
           (!find_set(layer, &host, TYPE_AAAA, &set) || add_glue(stored, &host, &set, is_cut));
}

/* Add the glue of a delegation: the addresses of name servers at or below it, then of others in its zone. Whether all of
   it is known. */
static int add_all_glue(const Names *names, const Entry *cut, Stored *stored) {
    unsigned char host[NAME_LIMIT];
    Entry apex;
    if (!find_apex(names, cut, &apex)) return 0;
    for (int are_below = 1; are_below >= 0; are_below--)
        for (Py_ssize_t at = 0, end; at < stored->set_size; at = end) {
            if (!(end = record_end(stored->body, stored->set_size, at))) return 0;
            const unsigned char *name = stored->body + at + RECORD_FIXED;
            Py_ssize_t size = end - at - RECORD_FIXED;
            if (size > NAME_LIMIT) return 0;
            for (Py_ssize_t i = 0; i < size; i++) host[i] = name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 32 : name[i];
            if (!ends_in(host, size, &apex, 0) || ends_in(host, size, cut, 1) != are_below) continue;
            if (!add_host(names, cut, host, size, stored)) return 0;
        }
    return 1;
}

/* Decide what a reply to a question for `rtype` has of an entry, that of the name itself or of its encloser; the
   question ends at `end`. Whether there may be a template. */
static int find_stored(const Names *names, const Mapped *layer, const Entry *entry, int is_own, int rtype,
                       Py_ssize_t end, Stored *stored) {
    int is_referral = entry->flags & CUT && !(is_own && rtype == TYPE_DS);
    int has_glue = is_referral && entry->flags & SPECIAL; /* or other name servers of its zone */
    Set set;
    stored->body = NULL;
    stored->set_size = stored->size = stored->glue_count = stored->glue_records = 0;
    if (!(has_glue || entry->flags & (PLAIN | EMPTY)) || !(is_own || is_referral)) return 0;
    if (!find_set(layer, entry, is_referral ? TYPE_NS : rtype, &set)) return !(entry->flags & CUT);
    if (set.size > MAX_STORED) return 0;
    stored->body = set.body;
    stored->set_size = stored->size = set.size;
    stored->records = set.records;
    stored->section = is_referral ? AUTHORITIES : ANSWERS;
    /* The question ends in the delegation's name. */
    stored->owner = is_referral ? 0xC000 | (end - 4 - entry->name_size) : QUESTION_NAME;
    return !has_glue || add_all_glue(names, entry, stored);
}

/* Write records with this pointer for their owner, or with a name of `name_size` octets. What follows them. */
static unsigned char *write_records(const unsigned char *body, Py_ssize_t size, int pointer, const unsigned char *name,
                                    Py_ssize_t name_size, unsigned char *out) {
    for (Py_ssize_t at = 0, end; at < size; at = end) {
        if (!(end = record_end(body, size, at))) end = size; /* no record of ours is cut off */
        if (end - at < 2) break;
        const unsigned char octets[] = {pointer >> 8, pointer};
        memcpy(out, name ? name : octets, name ? name_size : 2);
        out += name ? name_size : 2;
        memcpy(out, body + at + 2, end - at - 2);
        out += end - at - 2;
    }
    return out;
}

/* Write a stored set, and its glue, as a part of a reply. */
static void write_stored(const Stored *stored, unsigned char *out) {
    if (stored->owner == QUESTION_NAME) memcpy(out, stored->body, stored->set_size), out += stored->set_size;
    else out = write_records(stored->body, stored->set_size, stored->owner, NULL, 0, out);
    for (const Glue *glue = stored->glue; glue < stored->glue + stored->glue_count; glue++)
        out = write_records(glue->set.body, glue->set.size, stored->owner, glue->is_cut ? NULL : glue->host.name,
                            glue->host.name_size, out);
}

/* Write the four counts of a reply with a stored set. */
static void write_counts(const Stored *stored, int has_opt, unsigned char *reply) {
    const unsigned char counts[8] = {[1] = 1, [7] = has_opt + stored->glue_records};
    memcpy(reply + COUNTS, counts, sizeof counts);
    reply[stored->section] = stored->records >> 8;
    reply[stored->section + 1] = stored->records;
}

/* Whether a reply of Python's, whose question ends at `end`, is what we would compose. */
static int is_reproduced(const Stored *stored, const unsigned char *reply, Py_ssize_t size, Py_ssize_t end,
                         Py_ssize_t opt_size) {
    unsigned char head[COUNTS + 8], body[MAX_STORED];
    if (size != end + stored->size + opt_size) return 0;
    write_counts(stored, opt_size > 0, head);
    write_stored(stored, body);
    return !memcmp(reply + COUNTS, head + COUNTS, 8) && !memcmp(reply + end, body, stored->size);
}

/* Prefetch what a lookup of a name reads: the slot of its hash, then the entries there. (Always inline: gcc takes a
   function that does nothing else for one without effect, and drops calls of it.) */
#define FETCH static inline __attribute__((always_inline)) void

static inline const unsigned char *slot_of_name(const Mapped *layer, uint64_t hash) {
    return layer->slots + 4 * (size_t)(hash & (layer->head.slots - 1));
}

FETCH fetch_name(const Names *self, uint64_t hash) {
    if (self->count) __builtin_prefetch(slot_of_name(&self->layers[0], hash));
}

FETCH fetch_stored(const Names *self, uint64_t hash) {
    const Mapped *layer = &self->layers[0];
    for (int left = self->count ? FETCHED_SLOTS : 0; left; left--, hash++) {
        uint32_t number = u32_at(slot_of_name(layer, hash));
        if (!number) return;
        const unsigned char *entry = layer->entries + ((uint64_t)number - 1) * 4;
        __builtin_prefetch(entry);
        __builtin_prefetch(entry + 63);
    }
}

#endif

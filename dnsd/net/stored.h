/* What the table of names (../engine/entry.h) says about a question: its closest encloser, and the *template* under
   which replies are kept for all names that are stored alike.

   A reply of a template is either the same for all names of a kind that do not store the type asked for; or it is the
   same but for the name's own stored set: an answer, or, at and below a delegation, its NS records. Python decides
   whether a reply may be kept so, and a reply with a stored set must be reproduced octet for octet before it is. Part of
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
    TYPE_DS = 43,
    FETCHED_SLOTS = 3             /* of a chain: most names are found in these */
};

typedef struct {
    int count;                    /* of layers: 0, 1 or 2 */
    Py_buffer buffers[LAYERS];
    Mapped layers[LAYERS];        /* the base, the overlay */
    Py_ssize_t longest;           /* no name has more octets */
} Names;

/* A stored set in a reply, or none. */
typedef struct {
    const unsigned char *body;    /* NULL for a reply without one */
    Py_ssize_t size;
    int records, section, owner;  /* section: offset of its count; owner: of the records, a pointer */
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

/* Decide what a reply to a question for `rtype` has of an entry, that of the name itself or of its encloser; the
   question ends at `end`. Whether there may be a template. */
static int find_stored(const Mapped *layer, const Entry *entry, int is_own, int rtype, Py_ssize_t end, Stored *stored) {
    int is_referral = entry->flags & CUT && !(is_own && rtype == TYPE_DS);
    Set set;
    *stored = (Stored){0};
    if (!(entry->flags & (PLAIN | EMPTY)) || !(is_own || is_referral)) return 0;
    if (!find_set(layer, entry, is_referral ? TYPE_NS : rtype, &set)) return !(entry->flags & CUT);
    if (set.size > MAX_STORED) return 0;
    *stored = (Stored){set.body, set.size, set.records, ANSWERS, QUESTION_NAME};
    if (is_referral) {
        stored->section = AUTHORITIES;
        stored->owner = 0xC000 | (end - 4 - entry->name_size); /* the question ends in the delegation's name */
    }
    return 1;
}

/* Write a stored set as a part of a reply. */
static void write_stored(const Stored *stored, unsigned char *out) {
    Py_ssize_t at = 0;
    memcpy(out, stored->body, stored->size);
    while (stored->owner != QUESTION_NAME && at + RECORD_FIXED <= stored->size) {
        out[at] = stored->owner >> 8;
        out[at + 1] = stored->owner;
        at += RECORD_FIXED + (out[at + 10] << 8 | out[at + 11]);
    }
}

/* Write the four counts of a reply with a stored set. */
static void write_counts(const Stored *stored, int has_opt, unsigned char *reply) {
    const unsigned char counts[8] = {[1] = 1, [7] = has_opt};
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

/* The memory of replies: what a question was answered with, for all who ask the same.

   Each query is looked up, its id left out and its name in lower case, among those that were answered before. If its name is
   not one of `names`, it is looked up by the nearest name above it that is, and its length: what is said of a name that does
   not exist is said of all others there. A reply is kept the second time its question is asked: what strangers ask once, in
   ever new ways, takes hardly any memory. Part of _batch.c, which knows sockets; it knows no DNS but what a question's name is.
*/

#ifndef DNSD_REPLIES_H
#define DNSD_REPLIES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <sys/random.h>
#include "../guard.h"
#include "../siphash.h"

enum {
    MAX_MESSAGE = 4096,   /* octets of a query, as MAX_QUERY in udp.py, and of a reply that is kept; UDP replies have 1,232 */
    MAX_KEY = 352,        /* octets of a query that is kept: a header, the longest name, an OPT record */
    FIRST_SLOTS = 256,    /* of the table of replies; a power of two, doubled when it is half full */
    MARKS = 1 << 20,      /* bits that stand for what was asked once; a power of two */
    CACHE_LINE = 64, FETCHED = 192, /* octets: an entry of a usual name and answer has no more */
    HEADER = 12, MAX_NAME = 255, MAX_LABEL = 63, QUESTION_TAIL = 4
};

typedef struct {
    PyObject *account;    /* what to count: `learn`'s business */
    PyObject *kind;       /* what to limit the rate of: `learn`'s business */
    unsigned long long hits;
    unsigned char head[HEADER - 2];
    uint64_t hash;
    uint16_t key_size, tail_size;
    unsigned char octets[]; /* the key; then, all behind the question */
} Known;

/* Slots: a tag, 0 where there is no entry, else part of its hash, so that few others are looked at; and the entry. */
typedef struct {
    size_t count;         /* of slots, a power of two */
    unsigned char *tags;
    Known **entries;
} Slots;

typedef struct {
    uint64_t hash;
    Py_ssize_t size;         /* 0: what is asked is not kept */
    Py_ssize_t question_end; /* where it ends in the query */
    unsigned char octets[MAX_KEY];
    GUARD
} Key;

typedef struct {
    Py_ssize_t max_known, longest, marked; /* entries at most; octets of the longest of `names`, or more; bits that are set */
    PyObject *names;
    uint64_t secret[2], age; /* of the hash; how often all was forgotten */
    Slots slots;
    size_t known_count;
    int is_full;          /* there was no room for a reply */
    unsigned char marks[MARKS / 8];
} Replies;

static inline unsigned char tag_of(uint64_t hash) { return hash >> 56 | 1; }

/* The slot that an entry stands in, or would: there is always one, as half of them are empty. */
static size_t slot_of(const Slots *slots, const Key *key) {
    unsigned char tag = tag_of(key->hash);
    for (size_t at = key->hash & (slots->count - 1);; at = (at + 1) & (slots->count - 1)) {
        if (!slots->tags[at]) return at;
        if (slots->tags[at] != tag) continue;
        const Known *entry = slots->entries[at];
        if (entry->hash == key->hash && entry->key_size == key->size && !memcmp(entry->octets, key->octets, key->size))
            return at;
    }
}

/* Empty slots. 0, or -1 with an exception. */
static int make_slots(Slots *slots, size_t count) {
    *slots = (Slots){count, PyMem_Calloc(count, 1), PyMem_Calloc(count, sizeof *slots->entries)};
    if (slots->tags && slots->entries) return 0;
    PyMem_Free(slots->tags);
    PyMem_Free(slots->entries);
    *slots = (Slots){0};
    PyErr_NoMemory();
    return -1;
}

/* Double the slots. 0, or -1 with an exception. */
static int grow(Replies *self) {
    Slots old = self->slots, new;
    if (make_slots(&new, old.count * 2) < 0) return -1;
    for (size_t i = 0; i < old.count; i++) {
        if (!old.tags[i]) continue;
        size_t at = old.entries[i]->hash & (new.count - 1);
        while (new.tags[at]) at = (at + 1) & (new.count - 1);
        new.tags[at] = old.tags[i];
        new.entries[at] = old.entries[i];
    }
    PyMem_Free(old.tags);
    PyMem_Free(old.entries);
    self->slots = new;
    return 0;
}

/* Forget all replies, and have so many slots. 0, or -1 with an exception. */
static int forget_all(Replies *self, size_t count) {
    Slots old = self->slots, new = {0};
    if (count && make_slots(&new, count) < 0) return -1;
    self->slots = new;
    self->known_count = 0;
    self->age++;
    for (size_t i = 0; i < old.count; i++) {
        if (!old.tags[i]) continue;
        Py_DECREF(old.entries[i]->account);
        Py_DECREF(old.entries[i]->kind);
        PyMem_Free(old.entries[i]);
    }
    PyMem_Free(old.tags);
    PyMem_Free(old.entries);
    return 0;
}

/* Begin without names and replies. 0, or -1 with an exception. */
static int begin(Replies *self) {
    self->longest = 1; /* the root's, at which every name ends */
    Py_XSETREF(self->names, PyDict_New());
    if (!self->names || forget_all(self, FIRST_SLOTS) < 0) return -1;
    if (getrandom(self->secret, sizeof self->secret, 0) != sizeof self->secret) return PyErr_SetFromErrno(PyExc_OSError), -1;
    return 0;
}

/* As the key: the query without its id, its name in lower case; of size 0 if it has no plain name, or is too long to be kept.
   Lengths of labels are at most 63, so lowering all octets of a name leaves them as they are. */
static void make_key(Replies *self, const unsigned char *query, Py_ssize_t size, Key *key) {
    Py_ssize_t at = HEADER, length;
    key->size = key->question_end = 0;
    if (size < HEADER + 1 + QUESTION_TAIL || size - 2 > MAX_KEY) return;
    while ((length = query[at])) {
        if (length > MAX_LABEL) return;
        at += 1 + length;
        if (at >= size || at - HEADER >= MAX_NAME) return;
    }
    at += 1;
    if (at + QUESTION_TAIL > size) return;
    key->question_end = at + QUESTION_TAIL;
    key->size = size - 2;
    memcpy(key->octets, query + 2, key->size);
    for (Py_ssize_t i = HEADER - 2; i < at - 2; i++) /* without a branch: who sends random case makes it unforeseeable */
        key->octets[i] |= ((unsigned char)(key->octets[i] - 'A') < 26) << 5;
    key->hash = siphash(self->secret, key->octets, key->size);
}

/* Make of a key what the reply is kept under if its name is not one of `names`: all of it, with the nearest name above in
   place of its own, and its length; of size 0 if it is not kept. The key stays as it is if its name is one of them. 0, or
   -1 with an exception. */
static int widen(Replies *self, Key *key) {
    unsigned char *name = key->octets + HEADER - 2, *end = key->octets + key->question_end - QUESTION_TAIL - 2, *at = name;
    Py_ssize_t name_size = end - name, rest_size = key->size - (end - key->octets);
    while (end - at > self->longest) at += 1 + *at; /* 127 labels are not looked up one by one */
    while (1) {
        PyObject *part = PyBytes_FromStringAndSize((const char *)at, end - at);
        if (!part) return -1;
        int found = PySequence_Contains(self->names, part);
        Py_DECREF(part);
        if (found < 0) return -1;
        if (found) break;
        if (!*at) { /* in no zone of ours: strangers' names */
            key->size = 0;
            return 0;
        }
        at += 1 + *at;
    }
    if (at == name) return 0;
    /* No label begins with 0xFF: this is not taken for a name. The first label that is left out has two octets at least. */
    *name++ = 0xFF;
    *name++ = name_size;
    memmove(name, at, end - at + rest_size);
    key->size = name + (end - at) + rest_size - key->octets;
    key->hash = siphash(self->secret, key->octets, key->size);
    return 0;
}

/* Whether what stands under this key was asked before; now it was. */
static int was_asked(Replies *self, const Key *key) {
    unsigned char *mark = &self->marks[(key->hash & (MARKS - 1)) >> 3], bit = 1 << (key->hash & 7);
    if (*mark & bit) return 1;
    if (++self->marked > MARKS / 16) { /* too many are taken for each other soon */
        memset(self->marks, 0, sizeof self->marks);
        self->marked = 1;
    }
    *mark |= bit;
    return 0;
}

/* Keep a reply for all who ask the same, if they do. 0, or -1 with an exception. */
static int keep(Replies *self, const Key *key, PyObject *reply, PyObject *account, PyObject *kind) {
    const unsigned char *octets = (const unsigned char *)PyBytes_AS_STRING(reply);
    Py_ssize_t size = PyBytes_GET_SIZE(reply), tail = size - key->question_end;
    if (size > MAX_MESSAGE || tail < 0 || !was_asked(self, key)) return 0;
    if (2 * self->known_count >= self->slots.count && grow(self) < 0) return -1;
    size_t at = slot_of(&self->slots, key);
    /* It may be there, if `passes` has changed its mind: what it has counted must not be lost. */
    if (self->slots.tags[at]) return 0;
    if ((Py_ssize_t)self->known_count >= self->max_known) {
        self->is_full = 1;
        return 0;
    }
    Known *entry = PyMem_Malloc(sizeof *entry + key->size + tail);
    if (!entry) return PyErr_NoMemory(), -1;
    *entry = (Known){.account = Py_NewRef(account), .kind = Py_NewRef(kind), .hash = key->hash,
                     .key_size = key->size, .tail_size = tail};
    memcpy(entry->head, octets + 2, HEADER - 2);
    memcpy(entry->octets, key->octets, key->size);
    memcpy(entry->octets + key->size, octets + key->question_end, tail);
    self->slots.tags[at] = tag_of(key->hash);
    self->slots.entries[at] = entry;
    self->known_count++;
    return 0;
}

/* The entry of a query, and as its key what it stands or may be kept under; NULL if there is none, or with an exception. */
static Known *known_reply(Replies *self, Key *key) {
    Known *entry = self->slots.entries[slot_of(&self->slots, key)]; /* NULL in an empty one */
    if (entry || widen(self, key) < 0 || !key->size) return entry;
    return self->slots.entries[slot_of(&self->slots, key)];
}

/* Have the processor fetch what `known_reply` will read: memory is slow to answer, but answers for many at a time. First the
   slots of all keys; then the entries that those lead to. A third of what our own part of an answer costs was waiting for it. */
static void fetch_slot(const Replies *self, const Key *key) {
    if (!key->size) return;
    size_t at = key->hash & (self->slots.count - 1);
    __builtin_prefetch(&self->slots.tags[at]);
    __builtin_prefetch(&self->slots.entries[at]);
}

static void fetch_entry(const Replies *self, const Key *key) {
    const Slots *slots = &self->slots;
    if (!key->size) return;
    size_t at = key->hash & (slots->count - 1);
    while (slots->tags[at] && slots->tags[at] != tag_of(key->hash)) at = (at + 1) & (slots->count - 1);
    if (!slots->tags[at]) return;
    for (size_t octet = 0; octet < FETCHED; octet += CACHE_LINE)
        __builtin_prefetch((const unsigned char *)slots->entries[at] + octet);
}

#endif

/* The reply cache: replies kept for equal queries.

   A query is looked up without its id and with its name in lower case. If its name is not one of `names`, it is then
   looked up by its closest encloser in `names` and its length. A reply's scope says under which of the two keys it is
   kept. It is kept when its question is asked for the second time, so that random queries use hardly any memory. Part of _batch.c, which handles the sockets; of DNS, this part knows only the
   question's name.
*/

#ifndef DNSD_REPLIES_H
#define DNSD_REPLIES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <sys/random.h>
#include "../guard.h"
#include "../siphash.h"

enum {
    MAX_MESSAGE = 4096,   /* octets of a query (MAX_QUERY in udp.py) and of a kept reply; UDP replies have 1,232 */
    MAX_KEY = 352,        /* octets of a kept query: header, longest name, OPT record */
    FIRST_SLOTS = 256,    /* of the table of replies; a power of two, doubled when half full */
    MARKS = 1 << 20,      /* bits for questions asked once; a power of two */
    CACHE_LINE = 64, FETCHED = 192, /* octets: enough for an entry with a usual name and answer */
    HEADER = 12, MAX_NAME = 255, MAX_LABEL = 63, QUESTION_TAIL = 4,
    TC_BIT = 2            /* in the third octet */
};

/* The queries for which a reply may be repeated: Scope in reply.py. */
enum { ONCE, SAME_QUESTION, SAME_ENCLOSER };

/* A reply from Python; the objects are borrowed. */
typedef struct {
    PyObject *octets;        /* bytes, or None for no reply */
    PyObject *account;       /* for counting */
    PyObject *kind;          /* bytes, for rate limits */
    uint64_t kind_hash;
    long scope;
    Py_ssize_t opt_size;     /* octets of the OPT record at its end */
} Reply;

typedef struct {
    PyObject *account;
    uint64_t kind_hash;
    unsigned long long sent, cut, dropped; /* repetitions; the last two over the rate limit */
    unsigned char head[HEADER - 2];
    uint64_t hash;
    uint16_t key_size, tail_size, opt_size;
    unsigned char octets[]; /* the key, then the reply after its question */
} Known;

/* Slots: entries, each with a tag: part of its hash, to skip most other entries; 0 for an empty slot. */
typedef struct {
    size_t count;         /* of slots, a power of two */
    unsigned char *tags;
    Known **entries;
} Slots;

typedef struct {
    uint64_t hash;
    Py_ssize_t size;         /* 0: the query is not kept */
    Py_ssize_t question_end; /* offset in the query */
    int is_wide;             /* whether it has the closest encloser in place of the name */
    unsigned char octets[MAX_KEY];
    GUARD
} Key;

typedef struct {
    Py_ssize_t max_known, longest, marked; /* limit of entries; upper bound on a name's octets; bits set */
    PyObject *names;
    uint64_t secret[2], age; /* for the hash; number of calls of forget_all */
    Slots slots;
    size_t known_count;
    int is_full;          /* there was no room for a reply */
    unsigned char marks[MARKS / 8];
} Replies;

static inline unsigned char tag_of(uint64_t hash) { return hash >> 56 | 1; }

/* The slot of an entry, or the empty slot for it; half of the slots are empty, so the search ends. */
static size_t slot_of(const Slots *slots, const Key *key) {
    unsigned char tag = tag_of(key->hash);
    for (size_t at = key->hash & (slots->count - 1);; at = (at + 1) & (slots->count - 1)) {
        if (!slots->tags[at]) return at;
        if (slots->tags[at] != tag) continue;
        const Known *entry = slots->entries[at];
        if (entry->hash == key->hash && entry->key_size == key->size &&
            !memcmp(entry->octets, key->octets, key->size))
            return at;
    }
}

/* Allocate empty slots. 0, or -1 with an exception. */
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

/* Forget all replies, and allocate `count` slots. 0, or -1 with an exception. */
static int forget_all(Replies *self, size_t count) {
    Slots old = self->slots, new = {0};
    if (count && make_slots(&new, count) < 0) return -1;
    self->slots = new;
    self->known_count = 0;
    self->age++;
    for (size_t i = 0; i < old.count; i++) {
        if (!old.tags[i]) continue;
        Py_DECREF(old.entries[i]->account);
        PyMem_Free(old.entries[i]);
    }
    PyMem_Free(old.tags);
    PyMem_Free(old.entries);
    return 0;
}

/* Initialise without names and replies. 0, or -1 with an exception. */
static int begin(Replies *self) {
    self->longest = 1; /* the root, which ends every name */
    Py_XSETREF(self->names, PyDict_New());
    if (!self->names || forget_all(self, FIRST_SLOTS) < 0) return -1;
    if (getrandom(self->secret, sizeof self->secret, 0) == sizeof self->secret) return 0;
    return PyErr_SetFromErrno(PyExc_OSError), -1;
}

/* Make the key: the query without its id, its name in lower case; size 0 without an uncompressed name, or if too
   long to be kept. Length octets are at most 63, so lowering all octets of a name does not change them. */
static void make_key(Replies *self, const unsigned char *query, Py_ssize_t size, Key *key) {
    Py_ssize_t at = HEADER, length;
    key->size = key->question_end = key->is_wide = 0;
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
    for (Py_ssize_t i = HEADER - 2; i < at - 2; i++) /* no branch: with random case it could not be predicted */
        key->octets[i] |= ((unsigned char)(key->octets[i] - 'A') < 26) << 5;
    key->hash = siphash(self->secret, key->octets, key->size);
}

/* If the key's name is not in `names`, replace it by its closest encloser there and its own length; size 0 if it
   has no such encloser, as then the reply is not kept. 0, or -1 with an exception. */
static int widen(Replies *self, Key *key) {
    unsigned char *name = key->octets + HEADER - 2, *at = name;
    unsigned char *end = key->octets + key->question_end - QUESTION_TAIL - 2;
    Py_ssize_t name_size = end - name, rest_size = key->size - (end - key->octets);
    key->is_wide = 1;
    while (end - at > self->longest) at += 1 + *at; /* do not look up 127 labels one by one */
    while (1) {
        PyObject *part = PyBytes_FromStringAndSize((const char *)at, end - at);
        if (!part) return -1;
        int found = PySequence_Contains(self->names, part);
        Py_DECREF(part);
        if (found < 0) return -1;
        if (found) break;
        if (!*at) { /* outside of our zones */
            key->size = 0;
            return 0;
        }
        at += 1 + *at;
    }
    if (at == name) return key->is_wide = 0, 0;
    /* No label begins with 0xFF, so this is no name. The first removed label has at least two octets. */
    *name++ = 0xFF;
    *name++ = name_size;
    memmove(name, at, end - at + rest_size);
    key->size = name + (end - at) + rest_size - key->octets;
    key->hash = siphash(self->secret, key->octets, key->size);
    return 0;
}

/* Read a DnsReply. 0, or -1 with an exception. */
static int parse_reply(PyObject *answered, Reply *reply) {
    if (!PyTuple_Check(answered) || PyTuple_GET_SIZE(answered) != 5) goto failed;
    PyObject *scope = PyTuple_GET_ITEM(answered, 1), *opt_size = PyTuple_GET_ITEM(answered, 4);
    reply->octets = PyTuple_GET_ITEM(answered, 0);
    reply->account = PyTuple_GET_ITEM(answered, 2);
    reply->kind = PyTuple_GET_ITEM(answered, 3);
    if (reply->octets != Py_None && !PyBytes_CheckExact(reply->octets)) goto failed;
    if (!PyBytes_CheckExact(reply->kind) || !PyLong_Check(scope) || !PyLong_Check(opt_size)) goto failed;
    if ((reply->scope = PyLong_AsLong(scope)) == -1 && PyErr_Occurred()) return -1;
    if ((reply->opt_size = PyLong_AsSsize_t(opt_size)) == -1 && PyErr_Occurred()) return -1;
    if (reply->scope >= ONCE && reply->scope <= SAME_ENCLOSER && reply->opt_size >= 0) return 0;
failed:
    PyErr_SetString(PyExc_TypeError, "expected a DnsReply");
    return -1;
}

/* Whether this key was asked before; marks it as asked. */
static int was_asked(Replies *self, const Key *key) {
    unsigned char *mark = &self->marks[(key->hash & (MARKS - 1)) >> 3], bit = 1 << (key->hash & 7);
    if (*mark & bit) return 1;
    if (++self->marked > MARKS / 16) { /* more would collide too often */
        memset(self->marks, 0, sizeof self->marks);
        self->marked = 1;
    }
    *mark |= bit;
    return 0;
}

/* Keep a reply under a key if the question was asked before. 0, or -1 with an exception. */
static int keep(Replies *self, const Key *key, const Reply *reply) {
    const unsigned char *octets = (const unsigned char *)PyBytes_AS_STRING(reply->octets);
    Py_ssize_t size = PyBytes_GET_SIZE(reply->octets), tail = size - key->question_end;
    if (size > MAX_MESSAGE || tail < reply->opt_size || !was_asked(self, key)) return 0;
    if (2 * self->known_count >= self->slots.count && grow(self) < 0) return -1;
    size_t at = slot_of(&self->slots, key);
    if (self->slots.tags[at]) return 0; /* kept for an earlier datagram of the batch: its counts must not be lost */
    if ((Py_ssize_t)self->known_count >= self->max_known) {
        self->is_full = 1;
        return 0;
    }
    Known *entry = PyMem_Malloc(sizeof *entry + key->size + tail);
    if (!entry) return PyErr_NoMemory(), -1;
    *entry = (Known){.account = Py_NewRef(reply->account), .kind_hash = reply->kind_hash, .hash = key->hash,
                     .key_size = key->size, .tail_size = tail, .opt_size = reply->opt_size};
    memcpy(entry->head, octets + 2, HEADER - 2);
    memcpy(entry->octets, key->octets, key->size);
    memcpy(entry->octets + key->size, octets + key->question_end, tail);
    self->slots.tags[at] = tag_of(key->hash);
    self->slots.entries[at] = entry;
    self->known_count++;
    return 0;
}

/* Write a known reply over a query with its key. Return its size. */
static Py_ssize_t write_known(const Known *entry, unsigned char *query, Py_ssize_t question_end) {
    memcpy(query + 2, entry->head, HEADER - 2); /* id and question are in place */
    memcpy(query + question_end, entry->octets + entry->key_size, entry->tail_size);
    return question_end + entry->tail_size;
}

/* The same without records, and with TC, so that the client asks again over TCP. */
static Py_ssize_t write_cut(const Known *entry, unsigned char *query, Py_ssize_t question_end) {
    const unsigned char counts[8] = {[1] = 1, [7] = entry->opt_size > 0}; /* of question, ..., additional section */
    memcpy(query + 2, entry->head, 2);
    query[2] |= TC_BIT;
    memcpy(query + 4, counts, sizeof counts);
    memcpy(query + question_end, entry->octets + entry->key_size + entry->tail_size - entry->opt_size, entry->opt_size);
    return question_end + entry->opt_size;
}

/* The entry of a query; else NULL, and the key becomes wide if its name is not in `names`. NULL with an exception. */
static Known *known_reply(Replies *self, Key *key) {
    Known *entry = self->slots.entries[slot_of(&self->slots, key)]; /* NULL in an empty slot */
    if (entry || widen(self, key) < 0 || !key->size) return entry;
    return self->slots.entries[slot_of(&self->slots, key)];
}

/* Prefetch the memory that `known_reply` will read: memory has a high latency, but serves many requests at a time.
   First the slots of all keys, then their entries. Waiting for memory was a third of our own share of an
   answer. */
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

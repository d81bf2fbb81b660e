/* The reply cache: replies kept for equal queries, and for queries of which the table of names says the same.

   A query is looked up without its id and with its name in lower case: its *exact* key. Else the table (stored.h)
   gives a *template*, a key with the kind of what is stored in place of the name; or, if its name does not exist, a
   *wide* key, with the closest encloser and the name's length. A reply's scope says under which of these it is kept. It
   is kept when the key is asked for the second time, so that random queries use hardly any memory. Part of
   _batch.c, which handles the sockets.
*/

#ifndef DNSD_REPLIES_H
#define DNSD_REPLIES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <sys/random.h>
#include "../guard.h"
#include "../siphash.h"
#include "stored.h"

enum {
    MAX_MESSAGE = 4096,   /* octets of a query (MAX_QUERY in udp.py) and of a kept reply; UDP replies have 1,232 */
    MAX_KEY = 352,        /* octets of a kept query: header, longest name, OPT record */
    FIRST_SLOTS = 256,    /* of the table of replies; a power of two, doubled when half full */
    MARKS = 1 << 16,      /* questions asked once that are remembered at most; a power of two */
    CACHE_LINE = 64, FETCHED = 192, /* octets: enough for an entry with a usual name and answer */
    WIDE = 0xFF, KIND = 0xFE, /* begin what stands in place of a name in keys; no label does */
    LONGEST_KIND = 17, /* octets of a template's key before the type */
    HEADER = 12, MAX_NAME = 255, MAX_LABEL = 63, QUESTION_TAIL = 4,
    TC_BIT = 2            /* in the third octet */
};

/* The queries for which a reply may be repeated: Scope in reply.py. */
enum { ONCE, SAME_QUESTION, SAME_ENCLOSER, SAME_KIND, STORED };

/* A reply from Python; the objects are borrowed. */
typedef struct {
    PyObject *octets;        /* bytes, or None for no reply */
    PyObject *account;       /* for counting */
    PyObject *kind;          /* bytes, for rate limits; None: the name that was asked for */
    uint64_t kind_hash;
    long scope;
    Py_ssize_t opt_size;     /* octets of the OPT record at its end */
} Reply;

typedef struct {
    PyObject *account;
    uint64_t kind_hash, hash;
    uint32_t sent, cut, dropped; /* repetitions; the last two over the rate limit */
    uint16_t key_size, tail_size, opt_size;
    unsigned char head[HEADER - 2];
    unsigned char by_name;  /* whether its kind is the name that is asked for */
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
    uint64_t name_hash;      /* of the name, by the table's key; 0 if not yet known */
    unsigned char octets[MAX_KEY];
    GUARD
} Key;

/* The key of replies that differ at most in a stored set, and that set of the name asked for. */
typedef struct {
    Stored stored;
    Key key;                 /* size 0: there is no template */
} Template;

typedef struct {
    Py_ssize_t max_known; /* limit of entries */
    Names names;
    Template template;       /* of the last question looked up */
    uint64_t secret[2]; /* for the hash */
    Slots slots;
    size_t known_count;
    int is_full;          /* there was no room for a reply */
    uint16_t marks[MARKS]; /* a part of the hash of the question asked last, of those with the same place here */
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
    release_names(&self->names);
    if (forget_all(self, FIRST_SLOTS) < 0) return -1;
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

/* Replace the name of a key by its closest encloser, which begins at `at`, and the name's length. */
static void widen(Replies *self, Key *key, const unsigned char *at) {
    unsigned char *name = key->octets + HEADER - 2, *end = key->octets + key->size;
    Py_ssize_t name_size = key->question_end - QUESTION_TAIL - HEADER;
    /* No label begins with 0xFF, so this is no name. The first removed label has at least two octets. */
    *name++ = WIDE;
    *name++ = name_size;
    memmove(name, at, end - at);
    key->size = name + (end - at) - key->octets;
    key->is_wide = 1;
    key->hash = siphash(self->secret, key->octets, key->size);
}

/* Make the template of a question from its exact key and the entry that it leads to. */
static void make_template(Replies *self, const Key *key, const Mapped *layer, const Entry *entry, int is_own) {
    Template *made = &self->template;
    const unsigned char *rest = key->octets + key->question_end - QUESTION_TAIL - 2;
    Py_ssize_t rest_size = key->octets + key->size - rest;
    unsigned char *out = made->key.octets + HEADER - 2;
    made->key.size = 0;
    if (rest_size > MAX_KEY - LONGEST_KIND) return;
    if (!find_stored(&self->names, layer, entry, is_own, rest[0] << 8 | rest[1], key->question_end, &made->stored)) return;
    memcpy(made->key.octets, key->octets, HEADER - 2);
    *out++ = KIND;
    *out++ = made->stored.body ? made->stored.section : 0;
    *out++ = entry->flags;
    memcpy(out, &entry->kind, sizeof entry->kind);
    out += sizeof entry->kind;
    memcpy(out, rest, rest_size);
    made->key.size = out + rest_size - made->key.octets;
    made->key.question_end = key->question_end;
    made->key.hash = siphash(self->secret, made->key.octets, made->key.size);
}

/* Read a DnsReply. 0, or -1 with an exception. */
static int parse_reply(PyObject *answered, Reply *reply) {
    if (!PyTuple_Check(answered) || PyTuple_GET_SIZE(answered) != 5) goto failed;
    PyObject *scope = PyTuple_GET_ITEM(answered, 1), *opt_size = PyTuple_GET_ITEM(answered, 4);
    reply->octets = PyTuple_GET_ITEM(answered, 0);
    reply->account = PyTuple_GET_ITEM(answered, 2);
    reply->kind = PyTuple_GET_ITEM(answered, 3);
    if (reply->octets != Py_None && !PyBytes_CheckExact(reply->octets)) goto failed;
    if ((reply->kind != Py_None && !PyBytes_CheckExact(reply->kind)) || !PyLong_Check(scope) || !PyLong_Check(opt_size)) goto failed;
    if ((reply->scope = PyLong_AsLong(scope)) == -1 && PyErr_Occurred()) return -1;
    if ((reply->opt_size = PyLong_AsSsize_t(opt_size)) == -1 && PyErr_Occurred()) return -1;
    if (reply->scope >= ONCE && reply->scope <= STORED && reply->opt_size >= 0) return 0;
failed:
    PyErr_SetString(PyExc_TypeError, "expected a DnsReply");
    return -1;
}

/* Whether this key was asked before; marks it as asked. Of a flood of random questions, one in 65,536 seems to be, and
   another question may overwrite a mark. Then a reply is kept one question sooner or later, never under another key:
   entries are compared by their whole keys. */
static int was_asked(Replies *self, const Key *key) {
    uint16_t *mark = &self->marks[key->hash >> 16 & (MARKS - 1)], part = key->hash >> 32;
    int is_marked = *mark == part;
    *mark = part;
    return is_marked;
}

/* Add a reply, from `start` on, under a key; the rest is as in `like`. 0, or -1 with an exception. */
static int add(Replies *self, const Key *key, const Known *like, const unsigned char *octets, Py_ssize_t start,
               Py_ssize_t size) {
    if (2 * self->known_count >= self->slots.count && grow(self) < 0) return -1;
    size_t at = slot_of(&self->slots, key);
    if (self->slots.tags[at]) return 0; /* kept, but too long for a question like this: its counts must not be lost */
    Known *entry = PyMem_Malloc(sizeof *entry + key->size + size - start);
    if (!entry) return PyErr_NoMemory(), -1;
    *entry = (Known){.account = Py_NewRef(like->account), .kind_hash = like->kind_hash, .by_name = like->by_name,
                     .hash = key->hash, .key_size = key->size, .tail_size = size - start, .opt_size = like->opt_size};
    memcpy(entry->head, octets + 2, HEADER - 2);
    memcpy(entry->octets, key->octets, key->size);
    memcpy(entry->octets + key->size, octets + start, size - start);
    self->slots.tags[at] = tag_of(key->hash);
    self->slots.entries[at] = entry;
    self->known_count++;
    return 0;
}

/* Keep a reply, from `start` on, under a key that was asked before. 0, or -1 with an exception. */
static int keep(Replies *self, const Key *key, const Reply *reply, Py_ssize_t start) {
    Py_ssize_t size = PyBytes_GET_SIZE(reply->octets);
    Known like = {.account = reply->account, .kind_hash = reply->kind_hash, .by_name = reply->kind == Py_None,
                  .opt_size = reply->opt_size};
    if (size > MAX_MESSAGE || size - start < reply->opt_size || !was_asked(self, key)) return 0;
    if ((Py_ssize_t)self->known_count >= self->max_known) return self->is_full = 1, 0;
    return add(self, key, &like, (const unsigned char *)PyBytes_AS_STRING(reply->octets), start, size);
}

/* Keep a copy of a reply made by a template if its question was asked before: the exact key is found sooner. Copies
   leave half of the room to the replies that only Python can make. */
static void keep_copy(Replies *self, const Key *key, const Known *template, const unsigned char *octets, Py_ssize_t size) {
    if (2 * (Py_ssize_t)self->known_count >= self->max_known || !was_asked(self, key)) return;
    if (add(self, key, template, octets, key->question_end, size) < 0) PyErr_Clear();
}

/* Keep a reply to a query for the queries in its scope. 0, or -1 with an exception. */
static int keep_for_scope(Replies *self, const unsigned char *query, Py_ssize_t size, Key *key, const Reply *reply) {
    const Template *template = &self->template;
    const Stored *stored = &template->stored;
    const unsigned char *octets = (const unsigned char *)PyBytes_AS_STRING(reply->octets);
    Py_ssize_t end = key->question_end, reply_size = PyBytes_GET_SIZE(reply->octets);
    if (reply->scope == ONCE || !end || reply_size < end) return 0;
    if (template->key.size && reply_size <= MIN_UDP) {
        if (reply->scope == SAME_KIND && !stored->body) return keep(self, &template->key, reply, end);
        if (reply->scope == STORED && stored->body && is_reproduced(stored, octets, reply_size, end, reply->opt_size))
            return keep(self, &template->key, reply, end + stored->size);
    }
    if (reply->scope == SAME_QUESTION && key->is_wide) make_key(self, query, size, key);
    return key->size && !(key->is_wide && reply->kind == Py_None) ? keep(self, key, reply, end) : 0;
}

/* Write a known reply over a query with its key. Return its size. */
static Py_ssize_t write_known(const Known *entry, unsigned char *query, Py_ssize_t question_end) {
    memcpy(query + 2, entry->head, HEADER - 2); /* id and question are in place */
    memcpy(query + question_end, entry->octets + entry->key_size, entry->tail_size);
    return question_end + entry->tail_size;
}

/* Write a known reply of a template, with the stored set of the name asked for. Return its size. */
static Py_ssize_t write_template(const Known *entry, const Stored *stored, unsigned char *query, Py_ssize_t question_end) {
    if (!stored->body) return write_known(entry, query, question_end);
    memcpy(query + 2, entry->head, 2);
    write_counts(stored, entry->opt_size > 0, query);
    write_stored(stored, query + question_end);
    memcpy(query + question_end + stored->size, entry->octets + entry->key_size, entry->tail_size);
    return question_end + stored->size + entry->tail_size;
}

/* A known reply without records, and with TC, so that the client asks again over TCP. */
static Py_ssize_t write_cut(const Known *entry, unsigned char *query, Py_ssize_t question_end) {
    const unsigned char counts[8] = {[1] = 1, [7] = entry->opt_size > 0}; /* of question, ..., additional section */
    memcpy(query + 2, entry->head, 2);
    query[2] |= TC_BIT;
    memcpy(query + 4, counts, sizeof counts);
    memcpy(query + question_end, entry->octets + entry->key_size + entry->tail_size - entry->opt_size, entry->opt_size);
    return question_end + entry->opt_size;
}

/* The reply kept for a template, if it fits into every client's messages; NULL without one. */
static Known *known_template(Replies *self) {
    const Key *key = &self->template.key;
    Known *entry = key->size ? self->slots.entries[slot_of(&self->slots, key)] : NULL;
    return entry && key->question_end + self->template.stored.size + entry->tail_size <= MIN_UDP ? entry : NULL;
}

/* The reply kept for a query, by its exact key, its template (then `is_template` is set) or its wide key. NULL without
   one: the key and the template are then those under which a reply may be kept. */
static Known *known_reply(Replies *self, Key *key, int *is_template) {
    const unsigned char *name = key->octets + HEADER - 2, *at = name;
    Known *known = self->slots.entries[slot_of(&self->slots, key)]; /* NULL in an empty slot */
    Entry entry;
    *is_template = 0;
    self->template.key.size = 0;
    if (known) return known;
    const unsigned char *end = key->octets + key->question_end - QUESTION_TAIL - 2;
    uint64_t hash = key->name_hash ? key->name_hash : hash_of_name(&self->names, name, end - name);
    const Mapped *layer = find_encloser(&self->names, &at, end, hash, &entry);
    if (layer) {
        make_template(self, key, layer, &entry, at == name);
        if ((known = known_template(self))) return *is_template = 1, known;
        if (at == name) return NULL;
        widen(self, key, at);
        return self->slots.entries[slot_of(&self->slots, key)];
    }
    key->size = 0; /* outside of our zones: there are too many such names */
    key->is_wide = 1;
    return NULL;
}

/* Prefetch the memory that `known_reply` will read: memory has a high latency, but serves many requests at a time.
   First the slots of all keys; then their entries or else the slots of their names in the table; then what is stored at
   these. Waiting for memory was a third of our own share of an answer. */
FETCH fetch_slot(const Replies *self, const Key *key) {
    if (!key->size) return;
    size_t at = key->hash & (self->slots.count - 1);
    __builtin_prefetch(&self->slots.tags[at]);
    __builtin_prefetch(&self->slots.entries[at]);
}

FETCH fetch_entry(const Replies *self, Key *key) {
    const Slots *slots = &self->slots;
    if (!key->size) return;
    size_t at = key->hash & (slots->count - 1);
    while (slots->tags[at] && slots->tags[at] != tag_of(key->hash)) at = (at + 1) & (slots->count - 1);
    key->name_hash = 0;
    if (!slots->tags[at]) {
        const unsigned char *name = key->octets + HEADER - 2;
        key->name_hash = hash_of_name(&self->names, name, key->question_end - QUESTION_TAIL - HEADER);
        fetch_name(&self->names, key->name_hash);
        return;
    }
    for (size_t octet = 0; octet < FETCHED; octet += CACHE_LINE)
        __builtin_prefetch((const unsigned char *)slots->entries[at] + octet);
}

FETCH fetch_stored_of(const Replies *self, const Key *key) {
    if (key->size && key->name_hash) fetch_stored(&self->names, key->name_hash);
}

#endif

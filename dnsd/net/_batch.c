/* Datagrams in batches: recvmmsg, replies that are known already, sendmmsg.

   Transport, not a second way to answer. It knows no DNS but what a question's name is. Each datagram is looked up, its
   id left out and its name in lower case, among those that were answered before. If its name is not one of `names`, it
   is looked up by the nearest name above it that is, and its length: what is said of a name that does not exist is said
   of all others there. What is not found goes to the Python function `learn`, which answers, and says whether the reply
   may be sent again to all who ask the same. It is kept the second time: what strangers ask once, in ever new ways, takes
   hardly any memory. Whoever replaces what the replies were made from calls `forget`. The portable loop in udp.py does
   the same without a memory.
*/

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>
#include "../siphash.h"

enum {
    SIZE = 32,            /* datagrams of a batch; BATCH_SIZE in udp.py */
    MAX_MESSAGE = 4096,   /* octets of a query, as MAX_QUERY in udp.py, and of a reply that is kept; UDP replies have 1,232 */
    MAX_KEY = 352,        /* octets of a query that is kept: a header, the longest name, an OPT record */
    FIRST_SLOTS = 256,    /* of the table of replies; a power of two, doubled when it is half full */
    ANCILLARY = 128,      /* octets of control messages: where a datagram was sent to */
    PEERS = 256,          /* addresses of which is known whether they are limited; a power of two */
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
} Key;

typedef struct {
    struct sockaddr_storage peer;
    unsigned char ancillary[ANCILLARY];
    Key key;
    PyObject *held;       /* the reply, if it is Python's, until it is sent */
    unsigned char octets[MAX_MESSAGE]; /* the query; a known reply is written over it */
} Datagram;

typedef struct {
    unsigned char address[16]; /* all of an IPv6 address, or the first 4 octets of an IPv4 one */
    sa_family_t family;        /* 0: none is here */
    int is_limited;
} Peer;

typedef struct {
    PyObject_HEAD
    int fd, wants_ancillary, is_full;
    Py_ssize_t max_known, longest, marked;
    PyObject *learn, *limits, *passes, *not_sent, *names;
    uint64_t secret[2], age; /* of the hash; how often all was forgotten */
    Slots slots;
    size_t known_count;
    Peer known_peers[PEERS];
    struct mmsghdr in[SIZE], out[SIZE];
    struct iovec in_area[SIZE], out_area[SIZE];
    Datagram datagrams[SIZE];
    unsigned char marks[MARKS / 8];
} Batch;

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
static int grow(Batch *self) {
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
static int forget_all(Batch *self, size_t count) {
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

/* As the key: the query without its id, its name in lower case; of size 0 if it has no plain name, or is too long to be kept.
   Lengths of labels are at most 63, so lowering all octets of a name leaves them as they are. */
static void make_key(Batch *self, const unsigned char *query, Py_ssize_t size, Key *key) {
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
static int widen(Batch *self, Key *key) {
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

static PyObject *packed_peer(const struct sockaddr_storage *peer) {
    if (peer->ss_family == AF_INET)
        return PyBytes_FromStringAndSize((const char *)&((const struct sockaddr_in *)peer)->sin_addr, 4);
    return PyBytes_FromStringAndSize((const char *)&((const struct sockaddr_in6 *)peer)->sin6_addr, 16);
}

static PyObject *peer_text(const struct sockaddr_storage *peer) {
    char text[INET6_ADDRSTRLEN] = "";
    if (peer->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)peer)->sin_addr, text, sizeof text);
    else
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)peer)->sin6_addr, text, sizeof text);
    return PyUnicode_FromString(text);
}

/* What a Python function says of a peer, and of a kind where it takes one: true or false; -1 with an exception. */
static int ask_about(PyObject *function, const struct sockaddr_storage *peer, PyObject *kind) {
    PyObject *ip = packed_peer(peer), *said;
    int result;
    if (!ip) return -1;
    said = PyObject_CallFunctionObjArgs(function, ip, kind, NULL);
    Py_DECREF(ip);
    if (!said) return -1;
    result = PyObject_IsTrue(said);
    Py_DECREF(said);
    return result;
}

/* Whether responses to a peer are limited at all, which is asked once and remembered; -1 with an exception. */
static int is_limited(Batch *self, const struct sockaddr_storage *peer) {
    Peer key = {.family = peer->ss_family};
    uint32_t words[4], mixed = 0;
    if (peer->ss_family == AF_INET) memcpy(key.address, &((const struct sockaddr_in *)peer)->sin_addr, 4);
    else memcpy(key.address, &((const struct sockaddr_in6 *)peer)->sin6_addr, 16);
    memcpy(words, key.address, sizeof words);
    for (int i = 0; i < 4; i++) mixed = (mixed ^ words[i]) * 0x9E3779B1u; /* Knuth, 6.4: multiplicative hashing */
    Peer *place = &self->known_peers[mixed >> 24 & (PEERS - 1)];
    if (place->family == key.family && !memcmp(place->address, key.address, sizeof key.address)) return place->is_limited;
    key.is_limited = ask_about(self->limits, peer, NULL);
    if (key.is_limited >= 0) *place = key;
    return key.is_limited;
}

/* Whether a reply that is known may go to this peer now; -1 with an exception. */
static int may_pass(Batch *self, const struct sockaddr_storage *peer, Known *entry) {
    PyObject *kind = Py_NewRef(entry->kind); /* what is asked may be anything, and have the entry forgotten */
    int limited = is_limited(self, peer);
    int passes = limited > 0 ? ask_about(self->passes, peer, kind) : limited < 0 ? -1 : 1;
    Py_DECREF(kind);
    return passes;
}

/* Whether what stands under this key was asked before; now it was. */
static int was_asked(Batch *self, const Key *key) {
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
static int keep(Batch *self, const Key *key, PyObject *reply, PyObject *account, PyObject *kind) {
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

/* Have Python answer; the octets to send are then in `held`. Octets of the reply, 0 for none, -1 with an exception. */
static Py_ssize_t ask(Batch *self, Datagram *datagram, Py_ssize_t size) {
    PyObject *query, *peer, *learned = NULL, *reply, *account;
    Py_ssize_t result = -1;
    query = PyBytes_FromStringAndSize((const char *)datagram->octets, size);
    peer = peer_text(&datagram->peer);
    if (query && peer) learned = PyObject_CallFunctionObjArgs(self->learn, query, peer, NULL);
    Py_XDECREF(query);
    Py_XDECREF(peer);
    if (!learned) return -1;
    if (!PyTuple_CheckExact(learned) || PyTuple_GET_SIZE(learned) != 3) {
        PyErr_SetString(PyExc_TypeError, "expected (reply or None, account or None, kind)");
        goto done;
    }
    reply = PyTuple_GET_ITEM(learned, 0);
    account = PyTuple_GET_ITEM(learned, 1);
    if (reply == Py_None) {
        result = 0;
    } else if (!PyBytes_CheckExact(reply)) {
        PyErr_SetString(PyExc_TypeError, "a reply is bytes");
    } else if (datagram->key.size && account != Py_None &&
               keep(self, &datagram->key, reply, account, PyTuple_GET_ITEM(learned, 2)) < 0) {
        result = -1;
    } else {
        datagram->held = Py_NewRef(reply);
        result = PyBytes_GET_SIZE(reply);
    }
done:
    Py_DECREF(learned);
    return result;
}

/* Send what is known already, if it may be. Octets of the reply, 0 for none, -1 with an exception. */
static Py_ssize_t repeat(Batch *self, Datagram *datagram, Known *entry) {
    uint64_t age = self->age;
    int passes = may_pass(self, &datagram->peer, entry);
    if (passes <= 0 || age != self->age) return passes < 0 ? -1 : 0; /* `passes` may have had all forgotten */
    memcpy(datagram->octets + 2, entry->head, HEADER - 2); /* id and question are there */
    memcpy(datagram->octets + datagram->key.question_end, entry->octets + entry->key_size, entry->tail_size);
    entry->hits++;
    return datagram->key.question_end + entry->tail_size;
}

/* The entry of a query, and as its key what it stands or may be kept under; NULL if there is none, or with an exception. */
static Known *find(Batch *self, Key *key) {
    Known *entry = self->slots.entries[slot_of(&self->slots, key)]; /* NULL in an empty one */
    if (entry || widen(self, key) < 0 || !key->size) return entry;
    return self->slots.entries[slot_of(&self->slots, key)];
}

/* Make the keys of a batch, and have the processor fetch what `find` and `repeat` will read: memory is slow to answer, but
   answers for many at a time. A third of what our own part of an answer costs was waiting for it. */
static void make_keys(Batch *self, int count) {
    Slots *slots = &self->slots;
    for (int i = 0; i < count; i++) {
        Datagram *datagram = &self->datagrams[i];
        make_key(self, datagram->octets, self->in[i].msg_len, &datagram->key);
        size_t at = datagram->key.hash & (slots->count - 1);
        if (!datagram->key.size) continue;
        __builtin_prefetch(&slots->tags[at]);
        __builtin_prefetch(&slots->entries[at]);
    }
    for (int i = 0; i < count; i++) {
        const Key *key = &self->datagrams[i].key;
        if (!key->size) continue;
        size_t at = key->hash & (slots->count - 1);
        while (slots->tags[at] && slots->tags[at] != tag_of(key->hash)) at = (at + 1) & (slots->count - 1);
        if (!slots->tags[at]) continue;
        for (size_t octet = 0; octet < FETCHED; octet += CACHE_LINE)
            __builtin_prefetch((const unsigned char *)slots->entries[at] + octet);
    }
}

/* What goes back to one datagram of so many octets: its place and size in `area`. 0, or -1 with an exception. */
static int answer(Batch *self, Datagram *datagram, Py_ssize_t size, struct iovec *area) {
    Py_ssize_t length = 0;
    if (datagram->key.size) {
        Known *entry = find(self, &datagram->key);
        if (!entry && PyErr_Occurred()) length = -1;
        if (entry) length = repeat(self, datagram, entry);
    }
    area->iov_base = datagram->octets;
    if (!length) {
        length = ask(self, datagram, size);
        if (length > 0) area->iov_base = PyBytes_AS_STRING(datagram->held);
    }
    area->iov_len = length > 0 ? length : 0;
    return length < 0 ? -1 : 0;
}

/* Send the replies; one that does not go out is told of, and the others follow. 0, or -1 with an exception. */
static int send_all(Batch *self, int count) {
    int at = 0;
    while (at < count) {
        int sent = sendmmsg(self->fd, self->out + at, count - at, MSG_DONTWAIT);
        if (sent > 0) {
            at += sent;
            continue;
        }
        if (sent < 0 && errno == EINTR) continue;
        struct iovec *area = self->out[at].msg_hdr.msg_iov;
        PyObject *told = PyObject_CallFunction(self->not_sent, "y#", area->iov_base, (Py_ssize_t)area->iov_len);
        if (!told) return -1;
        Py_DECREF(told);
        at++;
    }
    return 0;
}

PyDoc_STRVAR(exchange_doc, "Receive what waits, BATCH_SIZE datagrams at most, and answer it: how many they were; -1: there may be more.");
static PyObject *batch_exchange(Batch *self, PyObject *unused) {
    int received, replies = 0, failed = 0;
    for (int i = 0; i < SIZE; i++) {
        struct msghdr *header = &self->in[i].msg_hdr;
        header->msg_namelen = sizeof self->datagrams[i].peer;
        header->msg_controllen = self->wants_ancillary ? ANCILLARY : 0;
    }
    do received = recvmmsg(self->fd, self->in, SIZE, MSG_DONTWAIT, NULL);
    while (received < 0 && errno == EINTR);
    if (received < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) return PyLong_FromLong(0);
        return PyLong_FromLong(-1); /* an ICMP error that an earlier reply met */
    }
    make_keys(self, received);
    for (int i = 0; i < received && !failed; i++) {
        if (answer(self, &self->datagrams[i], self->in[i].msg_len, &self->out_area[replies]) < 0) {
            failed = 1;
        } else if (self->out_area[replies].iov_len) {
            struct msghdr *from = &self->in[i].msg_hdr, *to = &self->out[replies].msg_hdr;
            to->msg_name = from->msg_name;
            to->msg_namelen = from->msg_namelen;
            to->msg_control = from->msg_controllen ? from->msg_control : NULL;
            to->msg_controllen = from->msg_controllen; /* reply from the address that was asked */
            replies++;
        }
    }
    if (!failed && replies) failed = send_all(self, replies) < 0;
    for (int i = 0; i < received; i++) Py_CLEAR(self->datagrams[i].held);
    return failed ? NULL : PyLong_FromLong(received);
}

PyDoc_STRVAR(take_doc, "(account, times it was sent, whether it has TC) of all known replies sent since the last call.");
static PyObject *batch_take(Batch *self, PyObject *unused) {
    PyObject *taken = PyList_New(0);
    for (size_t i = 0; taken && i < self->slots.count; i++) {
        Known *entry = self->slots.entries[i];
        if (!entry || !entry->hits) continue;
        unsigned long long hits = entry->hits;
        entry->hits = 0;
        PyObject *item = Py_BuildValue("(OKO)", entry->account, hits, entry->head[0] & 2 ? Py_True : Py_False);
        if (!item || PyList_Append(taken, item) < 0) Py_CLEAR(taken);
        Py_XDECREF(item);
    }
    return taken;
}

PyDoc_STRVAR(forget_doc, "forget(names, longest): forget all replies, as what they were made from is replaced; `take` before.\n"
                         "`longest`: octets of the longest of the names, or more.");
static PyObject *batch_forget(Batch *self, PyObject *args) {
    PyObject *names;
    if (!PyArg_ParseTuple(args, "On", &names, &self->longest)) return NULL;
    Py_XSETREF(self->names, Py_NewRef(names));
    if (forget_all(self, FIRST_SLOTS) < 0) return NULL;
    memset(self->known_peers, 0, sizeof self->known_peers);
    self->is_full = 0;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(is_full_doc, "Whether there was no room for a reply.");
static PyObject *batch_is_full(Batch *self, void *unused) { return PyBool_FromLong(self->is_full); }

static PyGetSetDef batch_getset[] = {{"is_full", (getter)batch_is_full, NULL, is_full_doc, NULL}, {NULL}};

static int batch_init(Batch *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"fd", "learn", "limits", "passes", "not_sent", "wants_ancillary", "max_known", NULL};
    PyObject *learn, *limits, *passes, *not_sent;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iOOOOpn", names, &self->fd, &learn, &limits, &passes, &not_sent,
                                     &self->wants_ancillary, &self->max_known))
        return -1;
    Py_XSETREF(self->learn, Py_NewRef(learn));
    Py_XSETREF(self->limits, Py_NewRef(limits));
    Py_XSETREF(self->passes, Py_NewRef(passes));
    Py_XSETREF(self->not_sent, Py_NewRef(not_sent));
    self->longest = 1; /* the root's, at which every name ends */
    Py_XSETREF(self->names, PyDict_New());
    if (!self->names || forget_all(self, FIRST_SLOTS) < 0) return -1;
    if (getrandom(self->secret, sizeof self->secret, 0) != sizeof self->secret) return PyErr_SetFromErrno(PyExc_OSError), -1;
    for (int i = 0; i < SIZE; i++) {
        Datagram *datagram = &self->datagrams[i];
        self->in_area[i] = (struct iovec){datagram->octets, MAX_MESSAGE};
        self->in[i].msg_hdr = (struct msghdr){.msg_name = &datagram->peer,
                                              .msg_iov = &self->in_area[i],
                                              .msg_iovlen = 1,
                                              .msg_control = datagram->ancillary};
        self->out[i].msg_hdr = (struct msghdr){.msg_iov = &self->out_area[i], .msg_iovlen = 1};
    }
    return 0;
}

static int batch_traverse(Batch *self, visitproc visit, void *arg) {
    Py_VISIT(self->learn);
    Py_VISIT(self->limits);
    Py_VISIT(self->passes);
    Py_VISIT(self->not_sent);
    Py_VISIT(self->names);
    return 0;
}

static int batch_clear(Batch *self) {
    Py_CLEAR(self->learn);
    Py_CLEAR(self->limits);
    Py_CLEAR(self->passes);
    Py_CLEAR(self->not_sent);
    Py_CLEAR(self->names);
    return 0;
}

static void batch_dealloc(Batch *self) {
    PyObject_GC_UnTrack(self);
    batch_clear(self);
    forget_all(self, 0);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef batch_methods[] = {
    {"exchange", (PyCFunction)batch_exchange, METH_NOARGS, exchange_doc},
    {"take", (PyCFunction)batch_take, METH_NOARGS, take_doc},
    {"forget", (PyCFunction)batch_forget, METH_VARARGS, forget_doc},
    {NULL},
};

PyDoc_STRVAR(batch_doc,
             "Batch(fd, learn, limits, passes, not_sent, wants_ancillary, max_known)\n\n"
             "`learn(query, peer)` returns (reply or None, account or None, kind): None for an account means that the\n"
             "reply is for this query alone. `limits(ip)`: whether replies to an address are limited at all; if so,\n"
             "`passes(ip, kind)`: whether a known one may be sent to it now.\n"
             "A reply that may be sent again to a name that is not one of `names` holds for all such under the same name.\n"
             "`not_sent(reply)` is told of replies that did not go out. At most `max_known` replies are kept.");

static PyTypeObject BatchType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "dnsd.net._batch.Batch",
    .tp_basicsize = sizeof(Batch),
    .tp_doc = batch_doc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)batch_init,
    .tp_dealloc = (destructor)batch_dealloc,
    .tp_traverse = (traverseproc)batch_traverse,
    .tp_clear = (inquiry)batch_clear,
    .tp_methods = batch_methods,
    .tp_getset = batch_getset,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "dnsd.net._batch", .m_doc = "Datagrams in batches.", .m_size = -1,
};

PyMODINIT_FUNC PyInit__batch(void) {
    PyObject *made;
    if (PyType_Ready(&BatchType) < 0) return NULL;
    if (!(made = PyModule_Create(&module))) return NULL;
    if (PyModule_AddObjectRef(made, "Batch", (PyObject *)&BatchType) < 0 ||
        PyModule_AddIntConstant(made, "BATCH_SIZE", SIZE) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}

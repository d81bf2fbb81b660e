/* Datagrams in batches: recvmmsg, replies that are known already, sendmmsg.

   Transport, not a second way to answer. It knows no DNS but what a question's name is. Each datagram is looked up, its
   id left out and its name in lower case, among those that were answered before. If its name is not one of `names`, it
   is looked up by the nearest name above it that is, and its length: what is said of a name that does not exist is said
   of all others there. What is not found goes to the Python function `learn`, which answers, and says whether the reply
   may be sent again to all who ask the same. It is kept the second time: what strangers ask once, in ever new ways, takes
   no memory. Whoever replaces what the replies were made from calls `forget`. The portable loop in udp.py does the same
   without a memory.
*/

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum {
    TURN = 32,            /* datagrams before the event loop looks after others; as in udp.py */
    MAX_QUERY = 4096,     /* octets; what is longer is cut, and so malformed; as in udp.py */
    MAX_REPLY = 4096,     /* octets of a reply that is kept; UDP replies have 1,232 */
    MAX_KEY = 352,        /* octets of a query that is kept: a header, the longest name, an OPT record */
    ANCILLARY = 128,      /* octets of control messages: where a datagram was sent to */
    PEERS = 256,          /* addresses of which is known whether they are limited; a power of two */
    MARKS = 1 << 20,      /* bits that stand for what was asked once; a power of two */
    HEADER = 12, MAX_NAME = 255, MAX_LABEL = 63, QUESTION_TAIL = 4
};

typedef struct {
    PyObject_HEAD
    PyObject *account;    /* what to count: `learn`'s business */
    PyObject *kind;       /* what to limit the rate of: `learn`'s business */
    unsigned long long hits;
    unsigned char head[HEADER - 2];
    Py_ssize_t tail_size;
    unsigned char tail[];  /* all behind the question */
} Known;

typedef struct {
    unsigned char address[16]; /* all of an IPv6 address, or the first 4 octets of an IPv4 one */
    sa_family_t family;        /* 0: none is here */
    int is_limited;
} Peer;

typedef struct {
    PyObject_HEAD
    int fd, wants_ancillary, is_full;
    Py_ssize_t max_known, longest, marked;
    PyObject *learn, *limits, *passes, *not_sent, *known, *names;
    Peer known_peers[PEERS];
    struct mmsghdr in[TURN], out[TURN];
    struct iovec in_area[TURN], out_area[TURN];
    struct sockaddr_storage peers[TURN];
    unsigned char ancillary[TURN][ANCILLARY];
    unsigned char queries[TURN][MAX_QUERY];
    unsigned char replies[TURN][MAX_REPLY];
    unsigned char marks[MARKS / 8];
    PyObject *held[TURN]; /* replies that are Python's, until they are sent */
} Batch;

static void known_dealloc(Known *self) {
    Py_XDECREF(self->account);
    Py_XDECREF(self->kind);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject KnownType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "dnsd.net._batch.Known",
    .tp_basicsize = sizeof(Known),
    .tp_itemsize = 1,
    .tp_dealloc = (destructor)known_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
};

/* The query without its id, its name in lower case; 0 if it has no plain name, or is too long to be kept.
   Lengths of labels are at most 63, so lowering all octets of a name leaves them as they are. */
static Py_ssize_t key_of(const unsigned char *query, Py_ssize_t size, unsigned char *key, Py_ssize_t *question_end) {
    Py_ssize_t at = HEADER, length;
    if (size < HEADER + 1 + QUESTION_TAIL || size - 2 > MAX_KEY) return 0;
    while ((length = query[at])) {
        if (length > MAX_LABEL) return 0;
        at += 1 + length;
        if (at >= size || at - HEADER >= MAX_NAME) return 0;
    }
    at += 1;
    if (at + QUESTION_TAIL > size) return 0;
    *question_end = at + QUESTION_TAIL;
    memcpy(key, query + 2, size - 2);
    for (Py_ssize_t i = HEADER - 2; i < at - 2; i++) /* without a branch: who sends random case makes it unforeseeable */
        key[i] |= ((unsigned char)(key[i] - 'A') < 26) << 5;
    return size - 2;
}

/* What the reply to a query is kept under whose name is not one of `names`: all of it but its id, with the nearest name
   above in place of its own, and its length. The query itself, if it is. NULL without an exception: it is not kept. */
static PyObject *place_of(Batch *self, const unsigned char *key, Py_ssize_t size, Py_ssize_t question_end) {
    const char *name = (const char *)key + HEADER - 2, *end = (const char *)key + question_end - QUESTION_TAIL - 2;
    Py_ssize_t name_size = end - name, rest_size = size - (end - (const char *)key);
    const char *at = name;
    while (end - at > self->longest) at += 1 + (unsigned char)*at; /* 127 labels are not looked up one by one */
    while (1) {
        PyObject *part = PyBytes_FromStringAndSize(at, end - at);
        if (!part) return NULL;
        int found = PySequence_Contains(self->names, part);
        Py_DECREF(part);
        if (found < 0) return NULL;
        if (found) break;
        if (!*at) return NULL; /* in no zone of ours: strangers' names */
        at += 1 + (unsigned char)*at;
    }
    if (at == name) return PyBytes_FromStringAndSize((const char *)key, size);
    PyObject *place = PyBytes_FromStringAndSize(NULL, HEADER - 2 + 2 + (end - at) + rest_size);
    if (!place) return NULL;
    char *out = PyBytes_AS_STRING(place);
    memcpy(out, key, HEADER - 2);
    out += HEADER - 2;
    *out++ = (char)0xFF; /* no label begins so: this is not taken for the place of a name */
    *out++ = (char)name_size;
    memcpy(out, at, end - at);
    memcpy(out + (end - at), end, rest_size);
    return place;
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
static int may_pass(Batch *self, int index, Known *entry) {
    int limited = is_limited(self, &self->peers[index]);
    return limited > 0 ? ask_about(self->passes, &self->peers[index], entry->kind) : limited < 0 ? -1 : 1;
}

/* Whether what stands under this key was asked before; now it was. The hash has a secret, so that nobody can choose
   what is taken for the same. -1 with an exception. */
static int was_asked(Batch *self, PyObject *key) {
    Py_hash_t hash = PyObject_Hash(key);
    if (hash == -1) return -1;
    unsigned char *mark = &self->marks[(hash & (MARKS - 1)) >> 3], bit = 1 << (hash & 7);
    if (*mark & bit) return 1;
    if (++self->marked > MARKS / 16) { /* too many are taken for each other soon */
        memset(self->marks, 0, sizeof self->marks);
        self->marked = 1;
    }
    *mark |= bit;
    return 0;
}

/* Keep a reply for all who ask the same, if they do. 0, or -1 with an exception. */
static int keep(Batch *self, PyObject *key, PyObject *reply, Py_ssize_t question_end, PyObject *account, PyObject *kind) {
    const unsigned char *octets = (const unsigned char *)PyBytes_AS_STRING(reply);
    Py_ssize_t size = PyBytes_GET_SIZE(reply), tail = size - question_end;
    Known *entry;
    int result;
    if (size > MAX_REPLY || tail < 0) return 0;
    if ((result = was_asked(self, key)) < 1) return result;
    /* It may be there, if `passes` has changed its mind: what it has counted must not be lost. */
    if ((result = PyDict_Contains(self->known, key))) return result < 0 ? -1 : 0;
    if (PyDict_GET_SIZE(self->known) >= self->max_known) {
        self->is_full = 1;
        return 0;
    }
    if (!(entry = PyObject_NewVar(Known, &KnownType, tail))) return -1;
    entry->account = Py_NewRef(account);
    entry->kind = Py_NewRef(kind);
    entry->hits = 0;
    memcpy(entry->head, octets + 2, HEADER - 2);
    entry->tail_size = tail;
    memcpy(entry->tail, octets + question_end, tail);
    result = PyDict_SetItem(self->known, key, (PyObject *)entry);
    Py_DECREF(entry);
    return result;
}

/* Have Python answer; the octets to send are then in `held`. Octets of the reply, 0 for none, -1 with an exception. */
static Py_ssize_t ask(Batch *self, int index, Py_ssize_t size, PyObject *key, Py_ssize_t question_end) {
    PyObject *query, *peer, *learned = NULL, *reply;
    Py_ssize_t result = -1;
    query = PyBytes_FromStringAndSize((const char *)self->queries[index], size);
    peer = peer_text(&self->peers[index]);
    if (query && peer) learned = PyObject_CallFunctionObjArgs(self->learn, query, peer, NULL);
    Py_XDECREF(query);
    Py_XDECREF(peer);
    if (!learned) return -1;
    if (!PyTuple_CheckExact(learned) || PyTuple_GET_SIZE(learned) != 3) {
        PyErr_SetString(PyExc_TypeError, "expected (reply or None, account or None, kind)");
        goto done;
    }
    reply = PyTuple_GET_ITEM(learned, 0);
    if (reply == Py_None) {
        result = 0;
    } else if (!PyBytes_CheckExact(reply)) {
        PyErr_SetString(PyExc_TypeError, "a reply is bytes");
    } else if (key && PyTuple_GET_ITEM(learned, 1) != Py_None &&
               keep(self, key, reply, question_end, PyTuple_GET_ITEM(learned, 1), PyTuple_GET_ITEM(learned, 2)) < 0) {
        result = -1;
    } else {
        self->held[index] = Py_NewRef(reply);
        result = PyBytes_GET_SIZE(reply);
    }
done:
    Py_DECREF(learned);
    return result;
}

/* Send what is known already, if it may be. Octets of the reply, 0 for none, -1 with an exception. */
static Py_ssize_t repeat(Batch *self, int index, Known *entry, Py_ssize_t question_end) {
    unsigned char *query = self->queries[index], *reply = self->replies[index];
    int passes;
    Py_INCREF(entry); /* `passes` may be anything */
    passes = may_pass(self, index, entry);
    if (passes > 0) {
        memcpy(reply, query, 2);
        memcpy(reply + 2, entry->head, HEADER - 2);
        memcpy(reply + HEADER, query + HEADER, question_end - HEADER);
        memcpy(reply + question_end, entry->tail, entry->tail_size);
        entry->hits++;
    }
    Py_ssize_t size = passes > 0 ? question_end + entry->tail_size : passes;
    Py_DECREF(entry);
    return size;
}

/* The entry of a query; its place, a new reference, is where it stands or may be kept. NULL: there is none. */
static Known *find(Batch *self, const unsigned char *key, Py_ssize_t size, Py_ssize_t question_end, PyObject **place) {
    if (!(*place = PyBytes_FromStringAndSize((const char *)key, size))) return NULL;
    PyObject *entry = PyDict_GetItemWithError(self->known, *place);
    if (entry || PyErr_Occurred()) return (Known *)entry;
    Py_SETREF(*place, place_of(self, key, size, question_end));
    return *place ? (Known *)PyDict_GetItemWithError(self->known, *place) : NULL;
}

/* What goes back to one datagram: its place and size in `area`. 0, or -1 with an exception. */
static int answer(Batch *self, int index, struct iovec *area) {
    unsigned char key[MAX_KEY];
    Py_ssize_t size = self->in[index].msg_len, question_end = 0, length = 0;
    PyObject *place = NULL;
    Py_ssize_t key_size = key_of(self->queries[index], size, key, &question_end);
    if (key_size) {
        Known *entry = find(self, key, key_size, question_end, &place);
        if (!entry && PyErr_Occurred()) length = -1;
        if (entry) length = repeat(self, index, entry, question_end);
    }
    area->iov_base = self->replies[index];
    if (!length) {
        length = ask(self, index, size, place, question_end);
        if (length > 0) area->iov_base = PyBytes_AS_STRING(self->held[index]);
    }
    area->iov_len = length > 0 ? length : 0;
    Py_XDECREF(place);
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

PyDoc_STRVAR(turn_doc, "How many datagrams were received, and answered: 32 at most; 0 if none waited.");
static PyObject *batch_turn(Batch *self, PyObject *unused) {
    int received, replies = 0, failed = 0;
    for (int i = 0; i < TURN; i++) {
        struct msghdr *header = &self->in[i].msg_hdr;
        header->msg_namelen = sizeof self->peers[i];
        header->msg_controllen = self->wants_ancillary ? ANCILLARY : 0;
    }
    do received = recvmmsg(self->fd, self->in, TURN, MSG_DONTWAIT, NULL);
    while (received < 0 && errno == EINTR);
    if (received < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) return PyLong_FromLong(0);
        return PyLong_FromLong(-1); /* an ICMP error that an earlier reply met: there may be more */
    }
    for (int i = 0; i < received && !failed; i++) {
        if (answer(self, i, &self->out_area[replies]) < 0) {
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
    for (int i = 0; i < received; i++) Py_CLEAR(self->held[i]);
    return failed ? NULL : PyLong_FromLong(received);
}

PyDoc_STRVAR(take_doc, "(account, times it was sent, whether it has TC) of all known replies sent since the last call.");
static PyObject *batch_take(Batch *self, PyObject *unused) {
    PyObject *taken = PyList_New(0), *key, *value;
    Py_ssize_t position = 0;
    if (!taken) return NULL;
    while (PyDict_Next(self->known, &position, &key, &value)) {
        Known *entry = (Known *)value;
        if (!entry->hits) continue;
        PyObject *item = Py_BuildValue("(OKO)", entry->account, entry->hits, entry->head[0] & 2 ? Py_True : Py_False);
        entry->hits = 0;
        if (!item || PyList_Append(taken, item) < 0) {
            Py_XDECREF(item);
            Py_DECREF(taken);
            return NULL;
        }
        Py_DECREF(item);
    }
    return taken;
}

PyDoc_STRVAR(forget_doc, "forget(names, longest): forget all replies, as what they were made from is replaced; `take` before.\n"
                         "`longest`: octets of the longest of the names, or more.");
static PyObject *batch_forget(Batch *self, PyObject *args) {
    PyObject *names;
    if (!PyArg_ParseTuple(args, "On", &names, &self->longest)) return NULL;
    Py_XSETREF(self->names, Py_NewRef(names));
    PyDict_Clear(self->known);
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
    Py_XSETREF(self->known, PyDict_New());
    Py_XSETREF(self->names, PyDict_New());
    if (!self->known || !self->names) return -1;
    for (int i = 0; i < TURN; i++) {
        self->in_area[i] = (struct iovec){self->queries[i], MAX_QUERY};
        self->in[i].msg_hdr = (struct msghdr){.msg_name = &self->peers[i],
                                              .msg_iov = &self->in_area[i],
                                              .msg_iovlen = 1,
                                              .msg_control = self->ancillary[i]};
        self->out[i].msg_hdr = (struct msghdr){.msg_iov = &self->out_area[i], .msg_iovlen = 1};
    }
    return 0;
}

static int batch_traverse(Batch *self, visitproc visit, void *arg) {
    Py_VISIT(self->learn);
    Py_VISIT(self->limits);
    Py_VISIT(self->passes);
    Py_VISIT(self->not_sent);
    Py_VISIT(self->known);
    Py_VISIT(self->names);
    return 0;
}

static int batch_clear(Batch *self) {
    Py_CLEAR(self->learn);
    Py_CLEAR(self->limits);
    Py_CLEAR(self->passes);
    Py_CLEAR(self->not_sent);
    Py_CLEAR(self->known);
    Py_CLEAR(self->names);
    return 0;
}

static void batch_dealloc(Batch *self) {
    PyObject_GC_UnTrack(self);
    batch_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef batch_methods[] = {
    {"turn", (PyCFunction)batch_turn, METH_NOARGS, turn_doc},
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
    if (PyType_Ready(&KnownType) < 0 || PyType_Ready(&BatchType) < 0) return NULL;
    if (!(made = PyModule_Create(&module))) return NULL;
    if (PyModule_AddObjectRef(made, "Batch", (PyObject *)&BatchType) < 0 ||
        PyModule_AddIntConstant(made, "TURN", TURN) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}

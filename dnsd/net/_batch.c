/* Datagrams in batches: recvmmsg, known replies, sendmmsg.

   Transport, not a second way to answer. Each datagram is looked up in the reply cache (replies.h). If it is not
   found, the Python function `answer` answers it and says for which queries the reply may be repeated. The rate
   limiter (limits.h) judges each repetition. The caller calls `forget` when it replaces the limiter or the data behind
   the replies. Every n-th question is copied for a sample (picks.h). The portable loop in udp.py does the same without
   a cache.
*/

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>
#include <errno.h>
#include <sys/socket.h>
#include <time.h>
#include "limits.h"
#include "peers.h"
#include "picks.h"
#include "replies.h"
#include "../sources.h"

enum {
    SIZE = 32,            /* datagrams of a batch; BATCH_SIZE in udp.py */
    ANCILLARY = 128       /* octets of control messages: the destination address of a datagram */
};

typedef struct {
    struct sockaddr_storage peer;
    unsigned char ancillary[ANCILLARY];
    Key key;
    PyObject *held;       /* the reply, if it comes from Python, until it is sent */
    unsigned char octets[MAX_MESSAGE]; /* the query; a known reply is written over it */
    GUARD
} Datagram;

typedef struct {
    PyObject_HEAD
    int fd, wants_ancillary, is_busy;
    PyObject *answer, *not_sent;
    Limiter *limiter;     /* NULL: no limit */
    double now;           /* when the batch was received, on the monotonic clock, in seconds */
    struct mmsghdr in[SIZE], out[SIZE];
    struct iovec in_area[SIZE], out_area[SIZE];
    Datagram datagrams[SIZE];
    Replies replies;
    Picks picks;
} Batch;

/* Let Python answer; `held` then has the reply. Return its size, 0 for no reply, -1 with an exception. */
static Py_ssize_t ask(Batch *self, Datagram *datagram, Py_ssize_t size) {
    int ip_size;
    const unsigned char *ip = packed_peer(&datagram->peer, &ip_size);
    PyObject *query = PyBytes_FromStringAndSize((const char *)datagram->octets, size);
    PyObject *peer = PyBytes_FromStringAndSize((const char *)ip, ip_size);
    PyObject *answered = query && peer ? PyObject_CallFunctionObjArgs(self->answer, query, peer, NULL) : NULL;
    Reply reply = {0};
    Py_ssize_t result = -1;
    Py_XDECREF(query);
    Py_XDECREF(peer);
    if (!answered) return -1;
    if (!parse_reply(answered, &reply)) {
        result = 0;
        if (reply.octets != Py_None) {
            if (self->limiter && reply.kind != Py_None) reply.kind_hash = hash_of_kind(self->limiter, reply.kind);
            result = PyBytes_GET_SIZE(reply.octets);
            if (keep_for_scope(&self->replies, datagram->octets, size, &datagram->key, &reply) < 0) result = -1;
            datagram->held = Py_NewRef(reply.octets);
        }
    }
    Py_DECREF(answered);
    return result;
}

/* The verdict on a repetition of a known reply to this datagram. */
static int verdict_on(Batch *self, const Datagram *datagram, const Known *known) {
    int ip_size;
    const unsigned char *ip = packed_peer(&datagram->peer, &ip_size), *name = datagram->key.octets + HEADER - 2;
    uint64_t kind_hash = known->kind_hash;
    if (known->by_name && !is_exempt(self->limiter, ip, ip_size))
        kind_hash = siphash(self->limiter->key, name, datagram->key.question_end - QUESTION_TAIL - HEADER);
    return judge(self->limiter, ip, ip_size, kind_hash, self->now, self->limiter->slip);
}

/* Write a known reply over the query, as far as the rate limit lets it pass. Return its size, 0 to send none. */
static Py_ssize_t repeat(Batch *self, Datagram *datagram, Known *known, int is_template) {
    Py_ssize_t end = datagram->key.question_end;
    int verdict = self->limiter ? verdict_on(self, datagram, known) : PASS;
    if (verdict == DROP) return known->dropped++, 0;
    if (verdict == SLIP) return known->cut++, write_cut(known, datagram->octets, end);
    known->sent++;
    if (!is_template) return write_known(known, datagram->octets, end);
    Py_ssize_t size = write_template(known, &self->replies.template.stored, datagram->octets, end);
    if (!datagram->key.is_wide) keep_copy(&self->replies, &datagram->key, known, datagram->octets, size);
    return size;
}

static void make_keys(Batch *self, int count) {
    for (int i = 0; i < count; i++) {
        Datagram *datagram = &self->datagrams[i];
        unsigned int size = self->in[i].msg_len;
        FORBID(datagram->octets + size, MAX_MESSAGE - size); /* left over from an earlier query */
        make_key(&self->replies, datagram->octets, size, &datagram->key);
        ALLOW(datagram->octets + size, MAX_MESSAGE - size);
        fetch_slot(&self->replies, &datagram->key);
    }
    for (int i = 0; i < count; i++) fetch_entry(&self->replies, &self->datagrams[i].key);
    for (int i = 0; i < count; i++) fetch_stored_of(&self->replies, &self->datagrams[i].key);
}

/* Answer one datagram of `size` octets: put the reply's place and size into `area`. 0, or -1 with an exception. */
static int answer(Batch *self, Datagram *datagram, Py_ssize_t size, struct iovec *area) {
    int is_template;
    Known *known = datagram->key.size ? known_reply(&self->replies, &datagram->key, &is_template) : NULL;
    *area = (struct iovec){datagram->octets, 0};
    if (known) {
        area->iov_len = repeat(self, datagram, known, is_template);
        return 0;
    }
    Py_ssize_t length = ask(self, datagram, size);
    if (length > 0) *area = (struct iovec){PyBytes_AS_STRING(datagram->held), length};
    return length < 0 ? -1 : 0;
}

/* Send the replies; a failed send is reported to `not_sent`, and the others still go out. 0, or -1 with an
   exception. */
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

/* Answer the received datagrams, each from the address that it was sent to. Return the number of replies; -1 with
   an exception. */
static int answer_all(Batch *self, int received) {
    int replies = 0;
    for (int i = 0; i < received; i++) {
        Datagram *datagram = &self->datagrams[i];
        if (!--self->picks.left) pick(&self->picks, datagram->octets, datagram->key.question_end);
        if (answer(self, datagram, self->in[i].msg_len, &self->out_area[replies]) < 0) return -1;
        if (!self->out_area[replies].iov_len) continue;
        struct msghdr *from = &self->in[i].msg_hdr, *to = &self->out[replies].msg_hdr;
        to->msg_name = from->msg_name;
        to->msg_namelen = from->msg_namelen;
        to->msg_control = from->msg_controllen ? from->msg_control : NULL;
        to->msg_controllen = from->msg_controllen;
        replies++;
    }
    return replies;
}

/* Receive datagrams. Return their number; below 0 with `errno`. */
static int receive(Batch *self) {
    int received;
    for (int i = 0; i < SIZE; i++) {
        struct msghdr *header = &self->in[i].msg_hdr;
        header->msg_namelen = sizeof self->datagrams[i].peer;
        header->msg_controllen = self->wants_ancillary ? ANCILLARY : 0;
    }
    do received = recvmmsg(self->fd, self->in, SIZE, MSG_DONTWAIT, NULL);
    while (received < 0 && errno == EINTR);
    return received;
}

static double monotonic_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

/* Whether no batch is being answered: functions called meanwhile must not start another or reinitialise this one.
   1, or 0 with an exception. */
static int may_begin(const Batch *self) {
    if (self->is_busy) PyErr_SetString(PyExc_RuntimeError, "a batch is being answered");
    return !self->is_busy;
}

PyDoc_STRVAR(exchange_doc, "Receive and answer at most BATCH_SIZE datagrams; return their number, or -1 if\n"
                           "the system reported an error instead and datagrams may still wait.");
static PyObject *batch_exchange(Batch *self, PyObject *Py_UNUSED(unused)) {
    if (!may_begin(self)) return NULL;
    int received = receive(self);
    if (received < 0) /* nothing waits, or an ICMP error caused by an earlier reply */
        return PyLong_FromLong(errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1);
    self->is_busy = 1;
    self->now = monotonic_s();
    make_keys(self, received);
    int replies = answer_all(self, received);
    int failed = replies < 0 || send_all(self, replies) < 0;
    for (int i = 0; i < received; i++) Py_CLEAR(self->datagrams[i].held);
    self->is_busy = 0;
    return failed ? NULL : PyLong_FromLong(received);
}

PyDoc_STRVAR(take_doc, "(account, sent, cut, dropped, has TC) for each known reply repeated since the last call.");
static PyObject *batch_take(Batch *self, PyObject *Py_UNUSED(unused)) {
    PyObject *taken = PyList_New(0);
    for (size_t i = 0; taken && i < self->replies.slots.count; i++) {
        Known *entry = self->replies.slots.entries[i];
        if (!entry || !(entry->sent || entry->cut || entry->dropped)) continue;
        PyObject *truncated = entry->head[0] & TC_BIT ? Py_True : Py_False;
        PyObject *item = Py_BuildValue("(OIIIO)", entry->account, entry->sent, entry->cut, entry->dropped, truncated);
        entry->sent = entry->cut = entry->dropped = 0;
        if (!item || PyList_Append(taken, item) < 0) Py_CLEAR(taken);
        Py_XDECREF(item);
    }
    return taken;
}

PyDoc_STRVAR(picked_doc, "([name and type of a query, or b\"\"], number of queries) since the last call: every n-th\n"
                         "query on average, at most PICKS of them; b\"\" for one without a whole question.");
static PyObject *batch_picked(Batch *self, PyObject *Py_UNUSED(unused)) { return take_picks(&self->picks); }

PyDoc_STRVAR(forget_doc, "forget(octets, overlay, limiter): forget all replies, as the table of names (its octets, and\n"
                         "its overlay or None), or the limiter (a Limiter or None) changed; call `take` first.");
static PyObject *batch_forget(Batch *self, PyObject *args) {
    PyObject *octets, *overlay, *limiter;
    if (!may_begin(self) || !PyArg_ParseTuple(args, "OOO", &octets, &overlay, &limiter)) return NULL;
    if (limiter != Py_None && !Py_IS_TYPE(limiter, &LimiterType))
        return PyErr_SetString(PyExc_TypeError, "the limiter is a Limiter of this module, or None"), NULL;
    if (use_names(&self->replies.names, octets, overlay) < 0) return NULL;
    if (forget_all(&self->replies, FIRST_SLOTS) < 0) return NULL;
    Py_XSETREF(self->limiter, limiter == Py_None ? NULL : (Limiter *)Py_NewRef(limiter));
    self->replies.is_full = 0;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(is_full_doc, "Whether a reply was not kept for lack of room.");
static PyObject *batch_is_full(Batch *self, void *Py_UNUSED(unused)) {
    return PyBool_FromLong(self->replies.is_full);
}

static PyGetSetDef batch_getset[] = {{"is_full", (getter)batch_is_full, NULL, is_full_doc, NULL}, {0}};

/* Without a socket until initialised, as `__init__` may never be called. */
static PyObject *batch_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    Batch *self = (Batch *)PyType_GenericNew(type, args, kwargs);
    if (self) self->fd = -1;
    return (PyObject *)self;
}

static int batch_init(Batch *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"fd", "answer", "not_sent", "wants_ancillary", "max_known", NULL};
    PyObject *answer, *not_sent;
    if (!may_begin(self)) return -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iOOpn", names, &self->fd, &answer, &not_sent,
                                     &self->wants_ancillary, &self->replies.max_known))
        return -1;
    Py_XSETREF(self->answer, Py_NewRef(answer));
    Py_XSETREF(self->not_sent, Py_NewRef(not_sent));
    if (begin(&self->replies) < 0) return -1;
    begin_picks(&self->picks, self->replies.secret[0]);
    for (int i = 0; i < SIZE; i++) {
        Datagram *datagram = &self->datagrams[i];
        self->in_area[i] = (struct iovec){datagram->octets, MAX_MESSAGE};
        self->in[i].msg_hdr = (struct msghdr){.msg_name = &datagram->peer,
                                              .msg_iov = &self->in_area[i],
                                              .msg_iovlen = 1,
                                              .msg_control = datagram->ancillary};
        self->out[i].msg_hdr = (struct msghdr){.msg_iov = &self->out_area[i], .msg_iovlen = 1};
        FORBID_GUARD(&datagram->key);
        FORBID_GUARD(datagram);
    }
    return 0;
}

static int batch_traverse(Batch *self, visitproc visit, void *arg) {
    Py_VISIT(self->answer);
    Py_VISIT(self->not_sent);
    return 0;
}

static int batch_clear(Batch *self) {
    Py_CLEAR(self->answer);
    Py_CLEAR(self->not_sent);
    Py_CLEAR(self->limiter);
    return 0;
}

static void batch_dealloc(Batch *self) {
    PyObject_GC_UnTrack(self);
    batch_clear(self);
    forget_all(&self->replies, 0);
    release_names(&self->replies.names);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef batch_methods[] = {
    {"exchange", (PyCFunction)batch_exchange, METH_NOARGS, exchange_doc},
    {"take", (PyCFunction)batch_take, METH_NOARGS, take_doc},
    {"picked", (PyCFunction)batch_picked, METH_NOARGS, picked_doc},
    {"forget", (PyCFunction)batch_forget, METH_VARARGS, forget_doc},
    {0},
};

PyDoc_STRVAR(batch_doc,
             "Batch(fd, answer, not_sent, wants_ancillary, max_known)\n\n"
             "`answer(query, peer)` returns a DnsReply; `not_sent(reply)` is called for replies that could not be\n"
             "sent. At most `max_known` replies are kept.");

static PyTypeObject BatchType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "dnsd.net._batch.Batch",
    .tp_basicsize = sizeof(Batch),
    .tp_doc = batch_doc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = batch_new,
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
    if (PyType_Ready(&BatchType) < 0 || PyType_Ready(&LimiterType) < 0) return NULL;
    if (!(made = PyModule_Create(&module))) return NULL;
    if (PyModule_AddObjectRef(made, "Batch", (PyObject *)&BatchType) < 0 ||
        PyModule_AddObjectRef(made, "Limiter", (PyObject *)&LimiterType) < 0 ||
        PyModule_AddIntConstant(made, "BATCH_SIZE", SIZE) < 0 ||
        PyModule_AddIntConstant(made, "PICKS", PICKS) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}

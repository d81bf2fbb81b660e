/* The rate limiter: `Limiter` of plain_limits.py in C, with the same verdicts and the same table; limits.py has the
   ideas. The C loop calls `judge`, Python the methods.

   The slot of a response is a hash of its client's network and of the hash of its kind. So the loop hashes a kind once
   for all repetitions of a reply.
*/

#ifndef DNSD_LIMITS_H
#define DNSD_LIMITS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "../siphash.h"
#include "peers.h"

enum { PASS, DROP, SLIP, MAX_SLIP = 255 };

typedef struct {
    PyObject_HEAD
    Py_buffer times, excess;
    uint64_t key[2], slots;
    double interval_s, ahead_s;
    int slip, log_only;
    int prefixes[2];      /* bits of an IPv4 and an IPv6 network */
    PyObject *exempt[2];  /* octets: pairs of first and last address, in order, not overlapping */
    unsigned long long dropped, slipped, logged;
    unsigned char last[IPV6_SIZE];
    int last_size;        /* 0: no response was over its limit since the last call of `take` */
} Limiter;

/* The place of an IPv4 or IPv6 address in arrays of two. */
static inline int family_of(int size) { return size == IPV6_SIZE; }

static int is_exempt(const Limiter *self, const unsigned char *ip, int size) {
    PyObject *exempt = self->exempt[family_of(size)];
    const unsigned char *ranges = (const unsigned char *)PyBytes_AS_STRING(exempt);
    Py_ssize_t low = 0, high = PyBytes_GET_SIZE(exempt) / (2 * size);
    while (low < high) { /* how many ranges begin at or below the address? */
        Py_ssize_t middle = (low + high) / 2;
        if (memcmp(ranges + 2 * size * middle, ip, size) <= 0) low = middle + 1;
        else high = middle;
    }
    return low && memcmp(ip, ranges + 2 * size * (low - 1) + size, size) <= 0;
}

static inline uint64_t hash_of_kind(const Limiter *self, PyObject *kind) {
    return siphash(self->key, (const unsigned char *)PyBytes_AS_STRING(kind), PyBytes_GET_SIZE(kind));
}

static uint64_t slot_of_response(const Limiter *self, const unsigned char *ip, int size, uint64_t kind_hash) {
    unsigned char octets[1 + IPV6_SIZE + sizeof kind_hash] = {size};
    int bits = self->prefixes[family_of(size)];
    memcpy(octets + 1, ip, bits / 8);
    if (bits % 8) octets[1 + bits / 8] = ip[bits / 8] & (0xff00 >> bits % 8);
    memcpy(octets + 1 + size, &kind_hash, sizeof kind_hash);
    return siphash(self->key, octets, 1 + size + sizeof kind_hash) % self->slots;
}

static int over_limit(Limiter *self, const unsigned char *ip, int size, uint64_t slot, int slip) {
    memcpy(self->last, ip, self->last_size = size);
    if (self->log_only) return self->logged++, PASS;
    if (slip) {
        unsigned char *excess = (unsigned char *)self->excess.buf + slot;
        if (++*excess >= slip) return *excess = 0, self->slipped++, SLIP;
    }
    return self->dropped++, DROP;
}

/* The verdict on a response of a kind to an address at `now`, counted. With a slip of 0, SLIP becomes DROP. */
static int judge(Limiter *self, const unsigned char *ip, int size, uint64_t kind_hash, double now, int slip) {
    if (is_exempt(self, ip, size)) return PASS;
    uint64_t slot = slot_of_response(self, ip, size, kind_hash);
    double *time = (double *)self->times.buf + slot, from = *time < now ? now : *time;
    if (from - now > self->ahead_s) return over_limit(self, ip, size, slot, slip);
    *time = from + self->interval_s;
    return PASS;
}

/* The verdict for the arguments (ip, kind, now); -1 with an exception. */
static int judge_args(Limiter *self, PyObject *const *args, Py_ssize_t count, int slip) {
    if (count != 3 || !PyBytes_Check(args[0]) || !PyBytes_Check(args[1]))
        return PyErr_SetString(PyExc_TypeError, "expected (ip, kind, now): bytes, bytes, seconds"), -1;
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]);
    double now = PyFloat_AsDouble(args[2]);
    if (now == -1.0 && PyErr_Occurred()) return -1;
    if ((size != IPV4_SIZE && size != IPV6_SIZE) || !self->slots)
        return PyErr_SetString(PyExc_ValueError, "an address has 4 or 16 octets"), -1;
    const unsigned char *ip = (const unsigned char *)PyBytes_AS_STRING(args[0]);
    return judge(self, ip, size, hash_of_kind(self, args[1]), now, slip);
}

PyDoc_STRVAR(verdict_doc, "verdict(ip, kind, now): PASS, DROP or SLIP for a response.");
static PyObject *limiter_verdict(Limiter *self, PyObject *const *args, Py_ssize_t count) {
    int verdict = judge_args(self, args, count, self->slip);
    return verdict < 0 ? NULL : PyLong_FromLong(verdict);
}

PyDoc_STRVAR(drops_doc, "drops(ip, kind, now): whether to drop a response that cannot be shortened.");
static PyObject *limiter_drops(Limiter *self, PyObject *const *args, Py_ssize_t count) {
    int verdict = judge_args(self, args, count, 0);
    return verdict < 0 ? NULL : PyBool_FromLong(verdict != PASS);
}

PyDoc_STRVAR(take_over_doc, "take(): (dropped, slipped, logged, last client over its limit or b\"\") since the last call.");
static PyObject *limiter_take(Limiter *self, PyObject *Py_UNUSED(unused)) {
    PyObject *taken = Py_BuildValue("(KKKy#)", self->dropped, self->slipped, self->logged, self->last,
                                    (Py_ssize_t)self->last_size);
    if (taken) self->dropped = self->slipped = self->logged = self->last_size = 0;
    return taken;
}

/* Whether the arguments fit each other and the buffers. 1, or 0 with an exception. */
static int are_valid(const Limiter *self, Py_ssize_t key_size) {
    const char *problem = NULL;
    for (int i = 0, size = IPV4_SIZE; i < 2; i++, size = IPV6_SIZE) {
        if (self->prefixes[i] < 0 || self->prefixes[i] > 8 * size) problem = "a prefix length is out of range";
        if (PyBytes_GET_SIZE(self->exempt[i]) % (2 * size)) problem = "a range is a first and a last address";
    }
    if (key_size != sizeof self->key) problem = "the key has 16 octets";
    if (self->slip < 0 || self->slip > MAX_SLIP) problem = "`slip` is a number from 0 to 255";
    if (self->times.len < (Py_ssize_t)sizeof(double) || self->times.len % sizeof(double) ||
        (uintptr_t)self->times.buf % sizeof(double))
        problem = "`times` are one or more aligned numbers of 8 octets";
    if (self->excess.len < self->times.len / (Py_ssize_t)sizeof(double)) problem = "`excess` is shorter than `times`";
    if (problem) PyErr_SetString(PyExc_ValueError, problem);
    return !problem;
}

static void let_go(Limiter *self) {
    self->slots = 0;
    if (self->times.obj) PyBuffer_Release(&self->times);
    if (self->excess.obj) PyBuffer_Release(&self->excess);
    Py_CLEAR(self->exempt[0]);
    Py_CLEAR(self->exempt[1]);
}

/* Everything is given at once: a limiter in use is never initialised again. */
static PyObject *limiter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"times", "excess", "key", "interval_s", "ahead_s", "slip", "log_only", "prefixes", "exempt",
                            NULL};
    PyObject *times, *excess, *ipv4, *ipv6;
    const char *key;
    Py_ssize_t key_size;
    Limiter *self = (Limiter *)PyType_GenericNew(type, args, kwargs);
    if (!self) return NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOy#ddip(ii)(SS)", names, &times, &excess, &key, &key_size,
                                     &self->interval_s, &self->ahead_s, &self->slip, &self->log_only,
                                     &self->prefixes[0], &self->prefixes[1], &ipv4, &ipv6) ||
        PyObject_GetBuffer(times, &self->times, PyBUF_WRITABLE) < 0 ||
        PyObject_GetBuffer(excess, &self->excess, PyBUF_WRITABLE) < 0)
        goto failed;
    self->exempt[0] = Py_NewRef(ipv4);
    self->exempt[1] = Py_NewRef(ipv6);
    if (!are_valid(self, key_size)) goto failed;
    memcpy(self->key, key, sizeof self->key);
    self->slots = self->times.len / sizeof(double);
    return (PyObject *)self;
failed:
    Py_DECREF(self);
    return NULL;
}

static void limiter_dealloc(Limiter *self) {
    let_go(self);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef limiter_methods[] = {
    {"verdict", (PyCFunction)(void (*)(void))limiter_verdict, METH_FASTCALL, verdict_doc},
    {"drops", (PyCFunction)(void (*)(void))limiter_drops, METH_FASTCALL, drops_doc},
    {"take", (PyCFunction)limiter_take, METH_NOARGS, take_over_doc},
    {0},
};

PyDoc_STRVAR(limiter_doc, "Limiter(times, excess, key, interval_s, ahead_s, slip, log_only, prefixes, exempt)\n\n"
                          "The same as `plain_limits.Limiter`. Raises ValueError for arguments out of range.");

static PyTypeObject LimiterType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "dnsd.net._batch.Limiter",
    .tp_basicsize = sizeof(Limiter),
    .tp_doc = limiter_doc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = limiter_new,
    .tp_dealloc = (destructor)limiter_dealloc,
    .tp_methods = limiter_methods,
};

#endif

/* Picks: the questions of every n-th query on average, for a sample. picks.py is the same for other loops.

   The intervals are random, so that clients cannot fall into step with them. When there is no room, every second
   pick is dropped and n doubled. So memory is bounded, and a query that is not picked costs one branch.
*/

#ifndef DNSD_PICKS_H
#define DNSD_PICKS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "replies.h"

enum {
    PICKS = 256,                    /* at most, between two calls of take_picks; PICKS in picks.py */
    MAX_PICK = MAX_NAME + 2,        /* octets: name and type */
    NO_QUERY = 0xF8                 /* QR and opcode, in the third octet of a message */
};

typedef struct {
    uint16_t size;                  /* 0: no query with one question */
    unsigned char octets[MAX_PICK];
} Pick;

typedef struct {
    uint64_t left, interval;        /* queries until the next pick, and from the last one; 0: never initialised */
    uint64_t every, passed;         /* n; queries of whole intervals since the last call of take_picks */
    uint64_t random;
    int count;
    Pick kept[PICKS];
    GUARD
} Picks;

/* Xorshift (Marsaglia, 2003). */
static uint64_t next_random(uint64_t *random) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    return *random ^= *random << 17;
}

/* Begin an interval: n on average. */
static void begin_interval(Picks *self) {
    self->left = self->interval = 1 + next_random(&self->random) % (2 * self->every - 1);
}

static void begin_picks(Picks *self, uint64_t secret) {
    self->every = 1;
    self->passed = self->count = 0;
    self->random = secret | 1;      /* xorshift needs a bit */
    begin_interval(self);
    FORBID_GUARD(self);
}

static void drop_every_second(Picks *self) {
    self->count = PICKS / 2;
    for (int i = 1; i < self->count; i++) self->kept[i] = self->kept[2 * i];
    self->every *= 2;
}

/* Pick a query, whose question ends at `end`; 0 if it has no whole, uncompressed question. */
static void pick(Picks *self, const unsigned char *query, Py_ssize_t end) {
    if (self->count == PICKS) drop_every_second(self);
    Pick *kept = &self->kept[self->count++];
    int is_query = end && !(query[2] & NO_QUERY) && query[4] == 0 && query[5] == 1;
    kept->size = is_query ? end - HEADER - 2 : 0; /* without the class */
    memcpy(kept->octets, query + HEADER, kept->size);
    self->passed += self->interval;
    begin_interval(self);
}

/* ([name and type of a picked query, or b""], number of queries) since the last call. NULL with an exception. */
static PyObject *take_picks(Picks *self) {
    uint64_t passed = self->passed + self->interval - self->left;
    PyObject *picked = PyList_New(0);
    for (int i = 0; picked && i < self->count; i++) {
        PyObject *octets = PyBytes_FromStringAndSize((const char *)self->kept[i].octets, self->kept[i].size);
        if (!octets || PyList_Append(picked, octets) < 0) Py_CLEAR(picked);
        Py_XDECREF(octets);
    }
    if (!picked) return NULL;
    self->passed = self->count = 0;
    self->every = passed < PICKS ? 1 : passed / (PICKS / 2);
    begin_interval(self);
    return Py_BuildValue("(NK)", picked, (unsigned long long)passed);
}

#endif

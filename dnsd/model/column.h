/* Columns of octets and arrays of indexes, for _columns.c. */

#ifndef DNSD_COLUMN_H
#define DNSD_COLUMN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { MOST = 1 << 30 }; /* records of a zone */
#define WIDE ((uint64_t)1 << 32)

/* A growing array of indexes. */
typedef struct {
    uint32_t *at;
    size_t count, room;
} Indexes;

static inline int put(Indexes *indexes, uint32_t index) {
    if (indexes->count == indexes->room) {
        size_t room = indexes->room ? 2 * indexes->room : 64;
        uint32_t *at = PyMem_Realloc(indexes->at, room * sizeof *at);
        if (!at) return PyErr_NoMemory(), -1;
        indexes->at = at, indexes->room = room;
    }
    indexes->at[indexes->count++] = index;
    return 0;
}

/* The indexes as octets, or NULL after a failure; frees them. */
static inline PyObject *octets_of(Indexes *indexes, int failed) {
    PyObject *made = failed ? NULL : PyBytes_FromStringAndSize((char *)indexes->at, 4 * indexes->count);
    PyMem_Free(indexes->at);
    return made;
}

/* A power of two, of which `count` is at most three quarters. */
static inline size_t slots_for(size_t count) {
    size_t slots = 8;
    while (slots / 4 * 3 < count) slots *= 2;
    return slots;
}

typedef struct {
    Py_buffer octets, ends;
    int is_wide;
    Py_ssize_t count;
} Column;

typedef struct {
    const unsigned char *at;
    size_t size;
} Item;

static void release(Column *column) {
    PyBuffer_Release(&column->octets);
    PyBuffer_Release(&column->ends);
}

/* Count the items of a column; -1 with an exception if there are too many. */
static int measure(Column *column) {
    column->is_wide = (uint64_t)column->octets.len >= WIDE;
    Py_ssize_t size = column->is_wide ? 8 : 4;
    column->count = column->ends.len / size;
    if (column->ends.len % size == 0 && column->count < MOST) return 0;
    return PyErr_SetString(PyExc_ValueError, "a column has an end for each record, of not too many"), -1;
}

static inline uint64_t end_of(const Column *column, Py_ssize_t index) {
    uint32_t narrow;
    uint64_t wide;
    if (column->is_wide) return memcpy(&wide, (char *)column->ends.buf + 8 * index, 8), wide;
    return memcpy(&narrow, (char *)column->ends.buf + 4 * index, 4), narrow;
}

/* Find an item; -1 without one. Needs no GIL. */
static inline int locate(const Column *column, Py_ssize_t index, Item *item) {
    if (index < 0 || index >= column->count) return -1;
    uint64_t start = index ? end_of(column, index - 1) : 0, end = end_of(column, index);
    if (start > end || end > (uint64_t)column->octets.len) return -1;
    item->at = (unsigned char *)column->octets.buf + start;
    item->size = end - start;
    return 0;
}

/* Find an item; -1 with an exception without one. */
static inline int find(const Column *column, Py_ssize_t index, Item *item) {
    if (!locate(column, index, item)) return 0;
    return PyErr_SetString(PyExc_ValueError, "a column has octets for each record"), -1;
}

static inline int is_equal(Item one, Item other) {
    return one.size == other.size && !memcmp(one.at, other.at, one.size);
}

#endif

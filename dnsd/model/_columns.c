/* Passes over all records of a zone: plain_columns.py does the same. Lists and tuples of octets come in, indexes of
   records go out, 4 octets each. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "../siphash.h"

enum { MOST = 1 << 30 }; /* records of a zone */

/* A growing array of indexes. */
typedef struct {
    uint32_t *at;
    size_t count, room;
} Indexes;

static int put(Indexes *indexes, uint32_t index) {
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
static PyObject *octets_of(Indexes *indexes, int failed) {
    PyObject *made = failed ? NULL : PyBytes_FromStringAndSize((char *)indexes->at, 4 * indexes->count);
    PyMem_Free(indexes->at);
    return made;
}

/* A power of two, of which `count` is at most three quarters. */
static size_t slots_for(size_t count) {
    size_t slots = 8;
    while (slots / 4 * 3 < count) slots *= 2;
    return slots;
}

/* Octets at an index; NULL with an exception if there are none. */
static PyObject *octets_at(PyObject *const *items, Py_ssize_t size, Py_ssize_t index) {
    if (index < size && PyBytes_CheckExact(items[index])) return items[index];
    PyErr_SetString(PyExc_TypeError, "a column has octets for each record");
    return NULL;
}

static int is_equal(PyObject *one, PyObject *other) {
    return one == other || (PyBytes_GET_SIZE(one) == PyBytes_GET_SIZE(other) &&
                            !memcmp(PyBytes_AS_STRING(one), PyBytes_AS_STRING(other), PyBytes_GET_SIZE(one)));
}

typedef struct {
    uint32_t hash, index; /* `index`: of the first record of a name, plus 1; 0: free */
} Slot;

/* Mark all records of names with several, and make equal names one object. The most of one name, or 0 if it failed. */
static uint32_t mark(PyObject *owners, Slot *slots, size_t mask, uint32_t *numbers) {
    Py_ssize_t size = PyList_GET_SIZE(owners);
    uint32_t most = 1, first = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *owner = octets_at(((PyListObject *)owners)->ob_item, size, i);
        if (!owner) return 0;
        if (!i || owner != PyList_GET_ITEM(owners, i - 1)) { /* else the first one is known */
            Py_hash_t hash = PyObject_Hash(owner);
            Slot *slot = slots + (hash & mask);
            uint32_t high = (uint64_t)hash >> 32;
            while (slot->index && (slot->hash != high || !is_equal(PyList_GET_ITEM(owners, slot->index - 1), owner)))
                slot = slot == slots + mask ? slots : slot + 1;
            if (!slot->index) slot->hash = high, slot->index = i + 1;
            first = slot->index - 1;
            PyObject *same = PyList_GET_ITEM(owners, first);
            if (same != owner) PyList_SetItem(owners, i, Py_NewRef(same));
        }
        numbers[i] = first == i ? 1 : 0;
        if (first != i && ++numbers[first] > most) most = numbers[first];
    }
    return most;
}

PyDoc_STRVAR(group_doc, "group(owners): the indexes of records that share their owner with others, and the largest\n"
                        "number of records of one owner. Equal owners in the list become one object.");
static PyObject *group(PyObject *Py_UNUSED(module), PyObject *owners) {
    if (!PyList_CheckExact(owners) || PyList_GET_SIZE(owners) >= MOST)
        return PyErr_SetString(PyExc_TypeError, "owners are a list, not too long"), NULL;
    Py_ssize_t size = PyList_GET_SIZE(owners);
    size_t room = slots_for(size);
    Slot *slots = PyMem_Calloc(room, sizeof *slots);
    uint32_t *numbers = PyMem_Calloc(size + 1, sizeof *numbers); /* of the records of an owner, at its first one */
    Indexes found = {.count = 0};
    uint32_t most = slots && numbers ? mark(owners, slots, room - 1, numbers) : 0;
    int failed = !most;
    if (most > 1)
        for (Py_ssize_t i = 0; !failed && i < size; i++)
            if (numbers[i] != 1) failed = put(&found, i) < 0;
    PyMem_Free(slots);
    PyMem_Free(numbers);
    if (failed && !PyErr_Occurred()) PyErr_NoMemory();
    PyObject *made = octets_of(&found, failed);
    return made ? Py_BuildValue("NI", made, most) : NULL;
}

/* A number for an owner and data, whatever the case of letters. */
static uint64_t number_of(const uint64_t key[2], PyObject *owner, PyObject *rdata, unsigned char *lower) {
    Py_ssize_t size = PyBytes_GET_SIZE(rdata);
    const char *octets = PyBytes_AS_STRING(rdata);
    for (Py_ssize_t i = 0; i < size; i++) lower[i] = Py_TOLOWER(octets[i]);
    uint64_t number = siphash(key, lower, size) + 0x9e3779b97f4a7c15u * (uint64_t)PyObject_Hash(owner);
    return number ? number : 1;
}

PyDoc_STRVAR(like_doc, "like(owners, rdatas, grouped, key): of the records at the indexes `grouped`, those that may\n"
                       "repeat one before, as owner and data are equal but for the case of letters. `key`: 16 octets.");
static PyObject *like(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *owners, *rdatas;
    Py_buffer grouped, given;
    uint64_t key[2];
    Indexes found = {.count = 0};
    if (!PyArg_ParseTuple(args, "O!O!y*y*", &PyTuple_Type, &owners, &PyTuple_Type, &rdatas, &grouped, &given)) return NULL;
    Py_ssize_t size = PyTuple_GET_SIZE(owners);
    size_t count = grouped.len / 4, room = slots_for(count);
    uint64_t *slots = PyMem_Calloc(room, sizeof *slots);
    unsigned char *lower = PyMem_Malloc(1 << 16);
    int failed = !slots || !lower || given.len != sizeof key || PyTuple_GET_SIZE(rdatas) != size;
    if (!failed) memcpy(key, given.buf, sizeof key);
    for (size_t i = 0; !failed && i < count; i++) {
        uint32_t index;
        memcpy(&index, (char *)grouped.buf + 4 * i, 4);
        PyObject *owner = octets_at(((PyTupleObject *)owners)->ob_item, size, index);
        PyObject *rdata = owner ? octets_at(((PyTupleObject *)rdatas)->ob_item, size, index) : NULL;
        if ((failed = !rdata || PyBytes_GET_SIZE(rdata) >= 1 << 16)) break;
        uint64_t number = number_of(key, owner, rdata, lower);
        size_t slot = number & (room - 1);
        while (slots[slot] && slots[slot] != number) slot = (slot + 1) & (room - 1);
        if (slots[slot]) failed = put(&found, index) < 0;
        slots[slot] = number;
    }
    if (failed && !PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "these columns do not fit");
    PyMem_Free(slots);
    PyMem_Free(lower);
    PyBuffer_Release(&grouped);
    PyBuffer_Release(&given);
    return octets_of(&found, failed);
}

/* Whether a name is another one, or below it. */
static int is_within(PyObject *name, const unsigned char *zone, Py_ssize_t size) {
    const unsigned char *octets = (const unsigned char *)PyBytes_AS_STRING(name);
    Py_ssize_t at = 0, last = PyBytes_GET_SIZE(name) - size;
    while (at < last) at += 1 + octets[at];
    return at == last && !memcmp(octets + at, zone, size);
}

PyDoc_STRVAR(outside_doc, "outside(owners, name, most): the indexes of owners that are neither `name` nor below it, the\n"
                          "first `most` of them.");
static PyObject *outside(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *owners, *owner;
    Py_buffer zone;
    Py_ssize_t most;
    Indexes found = {.count = 0};
    if (!PyArg_ParseTuple(args, "O!y*n", &PyTuple_Type, &owners, &zone, &most)) return NULL;
    Py_ssize_t size = PyTuple_GET_SIZE(owners);
    int failed = 0;
    for (Py_ssize_t i = 0; !failed && i < size && (Py_ssize_t)found.count < most; i++) {
        failed = !(owner = octets_at(((PyTupleObject *)owners)->ob_item, size, i));
        if (!failed && !is_within(owner, zone.buf, zone.len)) failed = put(&found, i) < 0;
    }
    PyBuffer_Release(&zone);
    return octets_of(&found, failed);
}

static PyMethodDef functions[] = {
    {"group", group, METH_O, group_doc},
    {"like", like, METH_VARARGS, like_doc},
    {"outside", outside, METH_VARARGS, outside_doc},
    {0},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "dnsd.model._columns", .m_doc = "Passes over all records of a zone.", .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__columns(void) { return PyModule_Create(&module); }

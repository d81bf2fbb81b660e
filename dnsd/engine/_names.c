/* A table of names in one piece of memory, which several processes can map from a file.

   Octets: a header, `slots` numbers of 4 octets, then entries. An entry is the number of its node (4 octets), the
   length of its name (1), and the name. A slot is 0, or the offset of its entry plus 1. A lookup starts at the
   slot of the name's hash and ends at an empty slot. The hash is SipHash-1-3 with a key in the header, so that
   attackers cannot choose colliding names.

   `changes` is a dict of the changes since the names were packed: a name to its new node, or to None if removed.

   Only the header is checked at once, as a table may be large. Whatever follows it, even if it changes while
   mapped, a lookup terminates and reads nothing outside of the octets. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "../siphash.h"

enum { ENTRY_FIXED = 5, MAX_NAME = 255 };

typedef struct {
    uint64_t key[2];
    uint32_t count, slots; /* names; slots, a power of two */
    uint64_t size;         /* octets of all entries */
} Header;

typedef struct {
    PyObject_HEAD
    Py_buffer buffer;
    Header header;
    const unsigned char *slots, *entries;
    PyObject *nodes, *changes;
} Table;

static inline uint32_t number_at(const unsigned char *octets) {
    uint32_t number;
    memcpy(&number, octets, sizeof number);
    return number;
}

/* The entry at an offset, and the length of its name; NULL if it is not within the entries. */
static inline const unsigned char *entry_at(const Table *self, uint64_t at, Py_ssize_t *name_size) {
    uint64_t size = self->header.size;
    if (size < ENTRY_FIXED || at > size - ENTRY_FIXED) return NULL;
    const unsigned char *entry = self->entries + at;
    *name_size = entry[4];
    return (uint64_t)*name_size > size - ENTRY_FIXED - at ? NULL : entry;
}

/* The number of a stored name's node, or -1. */
static int64_t stored(const Table *self, const unsigned char *name, Py_ssize_t size) {
    if (size > MAX_NAME || !self->slots) return -1;
    uint32_t mask = self->header.slots - 1, slot = siphash(self->header.key, name, size) & mask;
    for (uint32_t left = self->header.count; left; left--) { /* a valid table uses that many slots */
        uint32_t place = number_at(self->slots + 4 * (size_t)slot);
        Py_ssize_t name_size;
        const unsigned char *entry = place ? entry_at(self, place - 1, &name_size) : NULL;
        if (!entry) return -1;
        if (name_size == size && !memcmp(entry + ENTRY_FIXED, name, size)) return number_at(entry);
        slot = (slot + 1) & mask;
    }
    return -1;
}

/* A node by its number, borrowed; NULL with an exception if there is no such node. */
static PyObject *node_numbered(const Table *self, int64_t number) {
    if (number < PyList_GET_SIZE(self->nodes)) return PyList_GET_ITEM(self->nodes, number);
    PyErr_SetString(PyExc_ValueError, "the number of a node is out of range");
    return NULL;
}

/* The node of a name, borrowed; NULL without an exception if the name is unknown. */
static PyObject *node_of(Table *self, PyObject *name) {
    if (PyDict_GET_SIZE(self->changes)) {
        PyObject *node = PyDict_GetItemWithError(self->changes, name);
        if (node) return node == Py_None ? NULL : node;
        if (PyErr_Occurred()) return NULL;
    }
    if (!PyBytes_Check(name)) return NULL;
    int64_t number = stored(self, (const unsigned char *)PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name));
    return number < 0 ? NULL : node_numbered(self, number);
}

PyDoc_STRVAR(get_doc, "get(name, default=None): the node of a name.");
static PyObject *table_get(Table *self, PyObject *const *args, Py_ssize_t count) {
    if (count < 1 || count > 2) {
        PyErr_SetString(PyExc_TypeError, "expected a name and optionally a default");
        return NULL;
    }
    PyObject *node = node_of(self, args[0]);
    if (!node && PyErr_Occurred()) return NULL;
    return Py_NewRef(node ? node : count == 2 ? args[1] : Py_None);
}

static int table_contains(Table *self, PyObject *name) {
    PyObject *node = node_of(self, name);
    return !node && PyErr_Occurred() ? -1 : node != NULL;
}

PyDoc_STRVAR(holds_doc, "holds(name): whether the name is stored in the octets, regardless of changes.");
static PyObject *table_holds(Table *self, PyObject *name) {
    if (!PyBytes_Check(name)) Py_RETURN_FALSE;
    const unsigned char *octets = (const unsigned char *)PyBytes_AS_STRING(name);
    return PyBool_FromLong(stored(self, octets, PyBytes_GET_SIZE(name)) >= 0);
}

PyDoc_STRVAR(entry_doc, "entry(position): a stored name, its node, and the next position; from 0 to `end`.");
static PyObject *table_entry(Table *self, PyObject *position) {
    Py_ssize_t at = PyLong_AsSsize_t(position), name_size;
    if (at == -1 && PyErr_Occurred()) return NULL;
    const unsigned char *entry = at < 0 ? NULL : entry_at(self, at, &name_size);
    if (!entry) {
        PyErr_SetString(PyExc_IndexError, "no entry at this position");
        return NULL;
    }
    PyObject *node = node_numbered(self, number_at(entry));
    if (!node) return NULL;
    return Py_BuildValue("(y#On)", entry + ENTRY_FIXED, name_size, node, at + ENTRY_FIXED + name_size);
}

/* Whether a table with this header can have this size in octets. */
static int may_have(const Header *header, uint64_t octets) {
    uint64_t slots = header->slots, size = header->size, slots_size = 4 * slots;
    return slots && !(slots & (slots - 1)) && header->count < slots && size / ENTRY_FIXED >= header->count &&
           octets >= sizeof *header + slots_size && octets - sizeof *header - slots_size == size;
}

/* Use these octets from now on. 0, or -1 with an exception: then nothing has changed. */
static int use(Table *self, PyObject *octets) {
    Py_buffer buffer, old = self->buffer;
    Header header = {.slots = 0};
    if (PyObject_GetBuffer(octets, &buffer, PyBUF_SIMPLE) < 0) return -1;
    if (buffer.len >= (Py_ssize_t)sizeof header) memcpy(&header, buffer.buf, sizeof header);
    if (!may_have(&header, buffer.len)) {
        PyBuffer_Release(&buffer);
        PyErr_SetString(PyExc_ValueError, "not a table of names");
        return -1;
    }
    self->buffer = buffer;
    self->header = header;
    self->slots = (const unsigned char *)buffer.buf + sizeof header;
    self->entries = self->slots + 4 * (size_t)header.slots;
    if (old.obj) PyBuffer_Release(&old);
    return 0;
}

PyDoc_STRVAR(move_doc, "move(octets): switch to an identical copy of the octets that processes share.");
static PyObject *table_move(Table *self, PyObject *octets) {
    if (use(self, octets) < 0) return NULL;
    Py_RETURN_NONE;
}

static int table_init(Table *self, PyObject *args, PyObject *kwargs) {
    static char *words[] = {"octets", "nodes", "changes", NULL};
    PyObject *octets, *nodes, *changes;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO!O!", words, &octets, &PyList_Type, &nodes, &PyDict_Type,
                                     &changes) ||
        use(self, octets) < 0)
        return -1;
    Py_XSETREF(self->nodes, Py_NewRef(nodes));
    Py_XSETREF(self->changes, Py_NewRef(changes));
    return 0;
}

PyDoc_STRVAR(with_changes_doc, "with_changes(changes): a table of the same octets, shared, with these changes.");
static PyObject *table_with_changes(Table *self, PyObject *changes) {
    return PyObject_CallFunctionObjArgs((PyObject *)Py_TYPE(self), self->buffer.obj, self->nodes, changes, NULL);
}

static int table_traverse(Table *self, visitproc visit, void *arg) {
    Py_VISIT(self->nodes);
    Py_VISIT(self->changes);
    return 0;
}

static int table_clear(Table *self) {
    Py_CLEAR(self->nodes);
    Py_CLEAR(self->changes);
    return 0;
}

static void table_dealloc(Table *self) {
    PyObject_GC_UnTrack(self);
    table_clear(self);
    if (self->buffer.obj) PyBuffer_Release(&self->buffer);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *table_member(Table *self, void *which) {
    switch ((intptr_t)which) {
        case 0: return Py_NewRef(self->buffer.obj ? self->buffer.obj : Py_None);
        case 1: return Py_NewRef(self->nodes);
        case 2: return Py_NewRef(self->changes);
        case 3: return PyLong_FromUnsignedLong(self->header.count);
        default: return PyLong_FromUnsignedLongLong(self->header.size);
    }
}

static PyGetSetDef table_getset[] = {
    {"octets", (getter)table_member, NULL, "The memory of the stored names.", (void *)0},
    {"nodes", (getter)table_member, NULL, "The nodes by number.", (void *)1},
    {"changes", (getter)table_member, NULL, "Changed names: name to node, or to None if removed.", (void *)2},
    {"stored", (getter)table_member, NULL, "Number of stored names, regardless of changes.", (void *)3},
    {"end", (getter)table_member, NULL, "The position after the last entry.", (void *)4},
    {0},
};

static PyMethodDef table_methods[] = {
    {"get", (PyCFunction)(void (*)(void))table_get, METH_FASTCALL, get_doc},
    {"holds", (PyCFunction)table_holds, METH_O, holds_doc},
    {"with_changes", (PyCFunction)table_with_changes, METH_O, with_changes_doc},
    {"move", (PyCFunction)table_move, METH_O, move_doc},
    {"entry", (PyCFunction)table_entry, METH_O, entry_doc},
    {0},
};

static PySequenceMethods table_as_sequence = {.sq_contains = (objobjproc)table_contains};

PyDoc_STRVAR(table_doc, "Table(octets, nodes, changes): names in octets from `pack`, with their nodes by number.\n"
                        "Raises ValueError for an invalid header, or a size that differs from the header's.");

/* Without octets, as `__init__` may never be called, a table is empty. */
static PyObject *table_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    Table *self = (Table *)PyType_GenericNew(type, args, kwargs);
    if (!self) return NULL;
    self->nodes = PyList_New(0);
    self->changes = PyDict_New();
    if (self->nodes && self->changes) return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static PyTypeObject TableType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "dnsd.engine._names.Table",
    .tp_basicsize = sizeof(Table),
    .tp_doc = table_doc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .tp_new = table_new,
    .tp_init = (initproc)table_init,
    .tp_dealloc = (destructor)table_dealloc,
    .tp_traverse = (traverseproc)table_traverse,
    .tp_clear = (inquiry)table_clear,
    .tp_methods = table_methods,
    .tp_getset = table_getset,
    .tp_as_sequence = &table_as_sequence,
};

/* Write the entries and the slots. 0, or -1 with an exception. */
static int fill(unsigned char *out, Header *header, PyObject *names, PyObject *numbers) {
    unsigned char *slots = out + sizeof *header, *entries = slots + 4 * (size_t)header->slots;
    uint32_t mask = header->slots - 1, at = 0;
    memcpy(out, header, sizeof *header);
    memset(slots, 0, 4 * (size_t)header->slots);
    for (uint32_t i = 0; i < header->count; i++) {
        PyObject *name = PyList_GET_ITEM(names, i);
        Py_ssize_t size = PyBytes_GET_SIZE(name);
        unsigned long number = PyLong_AsUnsignedLong(PyList_GET_ITEM(numbers, i));
        if (number == (unsigned long)-1 && PyErr_Occurred()) return -1;
        if (number > UINT32_MAX) return PyErr_SetString(PyExc_ValueError, "the number of a node is too large"), -1;
        uint32_t narrow = number, place = at + 1;
        unsigned char *entry = entries + at;
        memcpy(entry, &narrow, 4);
        entry[4] = size;
        memcpy(entry + ENTRY_FIXED, PyBytes_AS_STRING(name), size);
        uint32_t slot = siphash(header->key, entry + ENTRY_FIXED, size) & mask;
        while (number_at(slots + 4 * (size_t)slot)) slot = (slot + 1) & mask;
        memcpy(slots + 4 * (size_t)slot, &place, 4);
        at += ENTRY_FIXED + size;
    }
    return 0;
}

PyDoc_STRVAR(pack_doc, "pack(names, numbers, key): the octets of a table of distinct names; `numbers` is a list of\n"
                       "the same length, of the names' nodes; `key`: of the hash, 16 octets. Raises ValueError for\n"
                       "data that does not fit.");
static PyObject *pack(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *names, *numbers;
    Py_buffer key;
    Header header = {.slots = 8};
    if (!PyArg_ParseTuple(args, "O!O!y*", &PyList_Type, &names, &PyList_Type, &numbers, &key)) return NULL;
    Py_ssize_t count = PyList_GET_SIZE(names);
    int fits = key.len == sizeof header.key && PyList_GET_SIZE(numbers) == count && count < 1 << 30;
    if (fits) memcpy(header.key, key.buf, sizeof header.key);
    PyBuffer_Release(&key);
    for (Py_ssize_t i = 0; fits && i < count; i++) {
        PyObject *name = PyList_GET_ITEM(names, i);
        fits = PyBytes_CheckExact(name) && PyBytes_GET_SIZE(name) <= MAX_NAME;
        if (fits) header.size += ENTRY_FIXED + PyBytes_GET_SIZE(name);
    }
    if (!fits || header.size >= UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "these names do not fit into a table");
        return NULL;
    }
    header.count = count;
    while (header.slots / 4 * 3 <= header.count) header.slots *= 2; /* at most three quarters full */
    PyObject *octets = PyBytes_FromStringAndSize(NULL, sizeof header + 4 * (size_t)header.slots + header.size);
    if (octets && fill((unsigned char *)PyBytes_AS_STRING(octets), &header, names, numbers) < 0) Py_CLEAR(octets);
    return octets;
}

static PyMethodDef functions[] = {{"pack", pack, METH_VARARGS, pack_doc}, {0}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "dnsd.engine._names", .m_doc = "A table of names that processes can share.",
    .m_size = -1, .m_methods = functions,
};

PyMODINIT_FUNC PyInit__names(void) {
    PyObject *made;
    if (PyType_Ready(&TableType) < 0) return NULL;
    if (!(made = PyModule_Create(&module))) return NULL;
    if (PyModule_AddObjectRef(made, "Table", (PyObject *)&TableType) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}

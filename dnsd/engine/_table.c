/* Tables of names for Python (entry.h: their octets; lookup.h, order.h: searches; pack.h and merge.h: their making).

   A table has a base and, if names have changed since it was packed, an overlay: the entries changed, in which removed
   names are GONE. What the overlay has for a name in a zone replaces what the base has. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "lookup.h"
#include "merge.h"
#include "pack.h"
#include "../sources.h"

typedef struct {
    PyObject_HEAD
    Layers layers;
    Walk walk;
} WalkObject;

static PyTypeObject TableType, WalkType;

static void release(Layers *self) {
    while (self->count) PyBuffer_Release(&self->buffers[--self->count]);
}

/* Add octets. 0, or -1 with an exception. */
static int hold(Layers *self, PyObject *octets) {
    Py_buffer *buffer = &self->buffers[self->count];
    if (self->count == MAX_LAYERS) PyErr_SetString(PyExc_ValueError, "too many tables");
    if (self->count == MAX_LAYERS || PyObject_GetBuffer(octets, buffer, PyBUF_SIMPLE) < 0) return -1;
    if (map_table(&self->tables[self->count], buffer->buf, buffer->len)) return self->count++, 0;
    PyBuffer_Release(buffer);
    PyErr_SetString(PyExc_ValueError, "not a table of names");
    return -1;
}

static int table_contains(Table *self, PyObject *name) {
    Entry entry;
    if (!PyBytes_Check(name)) return 0;
    const unsigned char *octets = (unsigned char *)PyBytes_AS_STRING(name);
    return find_name(&self->layers, octets, PyBytes_GET_SIZE(name), &entry) && !(entry.flags & OCCLUDED);
}

static Py_ssize_t table_length(Table *self) {
    Layers *layers = &self->layers;
    Py_ssize_t names = layers->count ? layers->tables[0].head.names : 0;
    const Mapped *over = &layers->tables[1];
    for (uint32_t i = 0; layers->count > 1 && i < over->head.slots; i++) {
        uint32_t number = u32_at(over->slots + 4 * (size_t)i);
        Entry now, before;
        if (!number || !entry_at(over, ((uint64_t)number - 1) * 4, &now)) continue;
        names += !(now.flags & (GONE | OCCLUDED));
        names -= find_entry(&layers->tables[0], now.name, now.name_size, &before) && !(before.flags & OCCLUDED);
    }
    return names < 0 ? 0 : names;
}

PyDoc_STRVAR(walk_doc, "walk(apex, name=apex, past=False): iterate over the entries of a zone in canonical order, from a\n"
                       "name on; or, with `past`, from the first name after it and all names below it.");
static PyObject *table_walk(Table *self, PyObject *const *args, Py_ssize_t count) {
    PyObject *places[] = {count ? args[0] : Py_None, count > 1 ? args[1] : count ? args[0] : Py_None};
    Sought apex, name;
    if (parse_place(places, count && count <= 3 ? 2 : 0, &apex, &name) < 0) return NULL;
    if (count == 3 && (name.past = PyObject_IsTrue(args[2])) < 0) return NULL;
    WalkObject *made = PyObject_New(WalkObject, &WalkType);
    if (!made) return NULL;
    made->layers.count = made->walk.count = 0;
    for (int i = 0; i < self->layers.count; i++) {
        if (hold(&made->layers, self->layers.buffers[i].obj) < 0) {
            Py_DECREF(made);
            return NULL;
        }
        const Mapped *of = &made->layers.tables[i];
        Range range = find_range(of, apex.name, apex.size);
        uint64_t before;
        if (count > 1) range.start = seek(of, range, &name, &before);
        add_cursor(&made->walk, of, range);
    }
    return (PyObject *)made;
}

static PyObject *walk_next(WalkObject *self) {
    Cursor at;
    while (next_entry(&self->walk, &at))
        if (!(at.entry.flags & GONE)) return entry_object(at.of, &at.entry);
    return NULL;
}

static void walk_dealloc(WalkObject *self) {
    release(&self->layers);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject WalkType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "dnsd.engine._table.Walk",
    .tp_basicsize = sizeof(WalkObject),
    .tp_doc = "Entries of a zone in canonical order.",
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)walk_dealloc,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = (iternextfunc)walk_next,
};

/* The number of the first zone of each table that is not before a name. */
static void seek_zones(const Layers *self, const Sought *name, uint32_t at[MAX_LAYERS]) {
    for (int i = 0; i < self->count; i++) at[i] = seek_zone(&self->tables[i], name->name, name->size);
}

PyDoc_STRVAR(zones_doc, "zones(above=None): the names of the zones that have entries, in canonical order; or of those at\n"
                        "or below a name.");
static PyObject *table_zones(Table *self, PyObject *const *args, Py_ssize_t count) {
    PyObject *places[] = {count ? args[0] : Py_None, count ? args[0] : Py_None};
    uint32_t at[MAX_LAYERS] = {0};
    Sought above;
    Walk walk;
    Entry mark;
    Cursor one;
    if (count && parse_place(places, count == 1 ? 2 : 0, &above, &above) < 0) return NULL;
    if (count) seek_zones(&self->layers, &above, at);
    PyObject *found = PyList_New(0);
    while (found && next_zone(self->layers.tables, self->layers.count, at, &mark, &walk)) {
        int is_gone = 1;
        if (count && !is_within(mark.name, mark.name_size, above.name, above.size)) break;
        while (is_gone && next_entry(&walk, &one)) is_gone = one.entry.flags & GONE;
        if (is_gone) continue;
        PyObject *name = PyBytes_FromStringAndSize((const char *)mark.name, mark.name_size);
        if (!name || PyList_Append(found, name) < 0) Py_CLEAR(found);
        Py_XDECREF(name);
    }
    return found;
}

/* Use these octets and this overlay, or None, from now on. 0, or -1 with an exception: then nothing has changed. */
static int use(Table *self, PyObject *octets, PyObject *overlay) {
    Layers layers = {0}, old = self->layers;
    if (hold(&layers, octets) < 0 || (overlay != Py_None && hold(&layers, overlay) < 0)) {
        release(&layers);
        return -1;
    }
    self->layers = layers;
    release(&old);
    return 0;
}

static int table_init(Table *self, PyObject *args, PyObject *kwargs) {
    static char *words[] = {"octets", "overlay", NULL};
    PyObject *octets, *overlay = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O", words, &octets, &overlay)) return -1;
    return use(self, octets, overlay);
}

static PyObject *table_member(Table *self, void *which) {
    intptr_t at = (intptr_t)which;
    if (at < self->layers.count && self->layers.buffers[at].obj) return Py_NewRef(self->layers.buffers[at].obj);
    Py_RETURN_NONE;
}

static PyObject *table_longest(Table *self, void *Py_UNUSED(none)) {
    uint32_t longest = 1;
    for (int i = 0; i < self->layers.count; i++)
        if (longest < self->layers.tables[i].head.longest) longest = self->layers.tables[i].head.longest;
    return PyLong_FromUnsignedLong(longest);
}

PyDoc_STRVAR(move_doc, "move(octets): switch to an identical copy of the octets that processes share.");
static PyObject *table_move(Table *self, PyObject *octets) {
    PyObject *overlay = table_member(self, (void *)1);
    int failed = use(self, octets, overlay) < 0;
    Py_DECREF(overlay);
    if (failed) return NULL;
    Py_RETURN_NONE;
}

static void table_dealloc(Table *self) {
    release(&self->layers);
    Py_TYPE(self)->tp_free(self);
}

static PyGetSetDef table_getset[] = {
    {"octets", (getter)table_member, NULL, "The memory of the base.", (void *)0},
    {"overlay", (getter)table_member, NULL, "The octets of the overlay, or None.", (void *)1},
    {"longest", (getter)table_longest, NULL, "An upper bound on the octets of a name, at least 1.", NULL},
    {0},
};

#define FAST(function) (PyCFunction)(void (*)(void))function, METH_FASTCALL
static PyMethodDef table_methods[] = {
    {"find", (PyCFunction)table_find, METH_O, find_doc},
    {"find_in", FAST(table_find_in), find_in_doc},
    {"head", FAST(table_head), head_doc},
    {"before", FAST(table_before), before_doc},
    {"find_set", FAST(table_find_set), find_set_doc},
    {"walk", FAST(table_walk), walk_doc},
    {"zones", FAST(table_zones), zones_doc},
    {"move", (PyCFunction)table_move, METH_O, move_doc},
    {0},
};

static PySequenceMethods table_as_sequence = {
    .sq_contains = (objobjproc)table_contains, .sq_length = (lenfunc)table_length,
};

static PyTypeObject TableType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "dnsd.engine._table.EntryTable",
    .tp_basicsize = sizeof(Table),
    .tp_doc = PyDoc_STR("EntryTable(octets, overlay=None): names in octets from `pack` or `merge`.\n"
                        "Raises ValueError for an invalid head, or a size that differs from the head's."),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)table_init,
    .tp_dealloc = (destructor)table_dealloc,
    .tp_methods = table_methods,
    .tp_getset = table_getset,
    .tp_as_sequence = &table_as_sequence,
};

#include "making.h"

static PyMethodDef functions[] = {
    {"pack", pack, METH_VARARGS, pack_doc},
    {"merge", merge, METH_VARARGS, merge_doc},
    {"difference", difference, METH_VARARGS, difference_doc},
    {0},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "dnsd.engine._table", .m_doc = "Tables of names that processes can share.",
    .m_size = -1, .m_methods = functions,
};

/* A class of entry.py that is a tuple; NULL with an exception. */
static PyTypeObject *tuple_class(PyObject *from, const char *name) {
    PyObject *found = from ? PyObject_GetAttrString(from, name) : NULL;
    if (found && PyType_Check(found) && PyType_IsSubtype((PyTypeObject *)found, &PyTuple_Type))
        return (PyTypeObject *)found;
    if (!PyErr_Occurred()) PyErr_Format(PyExc_TypeError, "%s is no class of tuples", name);
    Py_XDECREF(found);
    return NULL;
}

PyMODINIT_FUNC PyInit__table(void) {
    PyObject *made, *plain = PyImport_ImportModule("dnsd.engine.entry");
    entry_type = tuple_class(plain, "NameEntry");
    head_type = entry_type ? tuple_class(plain, "NameHead") : NULL;
    set_type = head_type ? tuple_class(plain, "PackedSet") : NULL;
    Py_XDECREF(plain);
    if (!set_type || PyType_Ready(&TableType) < 0 || PyType_Ready(&WalkType) < 0) return NULL;
    if (!(made = PyModule_Create(&module))) return NULL;
    if (PyModule_AddObjectRef(made, "EntryTable", (PyObject *)&TableType) < 0) Py_CLEAR(made);
    return made;
}

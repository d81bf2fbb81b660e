/* Names looked up for Python: whole entries, or their parts, so that a lookup costs no more than what is asked for. */

#ifndef DNSD_LOOKUP_H
#define DNSD_LOOKUP_H

#include "order.h"

/* Octets of tables, the latest last, and the memory that they are in. */
typedef struct {
    int count;
    Py_buffer buffers[MAX_LAYERS];
    Mapped tables[MAX_LAYERS];
} Layers;

typedef struct {
    PyObject_HEAD
    Layers layers; /* none before `__init__`; else the base, and perhaps the overlay */
} Table;

static PyTypeObject *entry_type, *head_type, *set_type; /* classes of entry.py, tuples */

/* A tuple of a subclass; takes the references to its items. NULL with an exception, also if an item is NULL. */
static PyObject *tuple_of(PyTypeObject *type, int count, PyObject *const *items) {
    PyObject *made = type->tp_alloc(type, count);
    for (int i = 0; i < count; i++) {
        if (made) PyTuple_SET_ITEM(made, i, items[i]);
        else Py_XDECREF(items[i]);
    }
    for (int i = 0; made && i < count; i++)
        if (!items[i]) Py_CLEAR(made);
    return made;
}

static PyObject *set_object(const Set *set) {
    PyObject *items[] = {PyLong_FromLong(set->rtype), PyLong_FromLong(set->records),
                         PyBytes_FromStringAndSize((const char *)set->body, set->size)};
    return tuple_of(set_type, 3, items);
}

static PyObject *type_of(const Set *set) { return PyLong_FromLong(set->rtype); }

/* A tuple of what `made` makes of the sets of an entry; NULL with an exception, also if the entry is cut off. */
static PyObject *sets_of(const Mapped *of, const Entry *entry, PyObject *(*made)(const Set *)) {
    uint64_t at = entry->sets;
    Set set;
    if ((uint64_t)entry->set_count * SET_FIXED > of->head.size) at = UINT64_MAX; /* make no long tuple in vain */
    PyObject *sets = PyTuple_New(at == UINT64_MAX ? 0 : entry->set_count);
    for (int i = 0; sets && i < entry->set_count; i++) {
        PyObject *one = NULL;
        if (!next_set(of, &at, &set)) PyErr_SetString(PyExc_ValueError, "an entry of a table is cut off");
        else one = made(&set);
        if (!one) Py_CLEAR(sets);
        else PyTuple_SET_ITEM(sets, i, one);
    }
    return sets;
}

static PyObject *entry_object(const Mapped *of, const Entry *entry) {
    PyObject *items[] = {PyLong_FromLong(entry->flags), PyLong_FromUnsignedLong(entry->kind),
                         PyBytes_FromStringAndSize((const char *)entry->name, entry->name_size),
                         sets_of(of, entry, set_object)};
    return tuple_of(entry_type, 4, items);
}

/* The entry that a name leads to, and its table; NULL if there is none. */
static const Mapped *find_name(const Layers *self, const unsigned char *name, size_t size, Entry *entry) {
    for (int i = self->count; i--;)
        if (find_entry(&self->tables[i], name, size, entry)) return entry->flags & GONE ? NULL : &self->tables[i];
    return NULL;
}

/* The entry of a name in a zone, and its table; NULL if there is none. */
static const Mapped *find_placed(const Layers *self, const Sought *apex, const Sought *name, Entry *entry) {
    for (int i = self->count; i--;) {
        const Mapped *of = &self->tables[i];
        uint64_t before;
        Range range = find_range(of, apex->name, apex->size);
        int is_hashed = find_entry(of, name->name, name->size, entry) && entry->place >= range.start;
        if (!is_hashed || entry->place >= range.end) { /* the hash leads to the deepest of several zones */
            uint64_t at = seek(of, range, name, &before);
            if (at >= range.end || !entry_at(of, at, entry) || entry->name_size != name->size ||
                memcmp(entry->name, name->name, name->size))
                continue;
        }
        return entry->flags & GONE ? NULL : of;
    }
    return NULL;
}

/* Read a name from an object. Whether it is one that a table can have. */
static int is_sought(PyObject *object, Sought *sought) {
    if (!PyBytes_Check(object) || PyBytes_GET_SIZE(object) > NAME_LIMIT) return 0;
    *sought = (Sought){(unsigned char *)PyBytes_AS_STRING(object), PyBytes_GET_SIZE(object), 0};
    return 1;
}

/* The entry that a name leads to; or, with the name of a zone in place of NULL, the one that this zone has. */
static const Mapped *find_either(const Layers *self, PyObject *name, PyObject *apex, Entry *entry) {
    Sought sought, zone;
    if (!is_sought(name, &sought)) return NULL;
    if (!apex) return find_name(self, sought.name, sought.size, entry);
    return is_sought(apex, &zone) ? find_placed(self, &zone, &sought, entry) : NULL;
}

/* A name in a zone, from two arguments. 0, or -1 with an exception. */
static int parse_place(PyObject *const *args, Py_ssize_t count, Sought *apex, Sought *name) {
    if (count != 2 || !PyBytes_Check(args[0]) || !PyBytes_Check(args[1]) ||
        PyBytes_GET_SIZE(args[0]) > NAME_LIMIT || PyBytes_GET_SIZE(args[1]) > NAME_LIMIT) {
        PyErr_SetString(PyExc_TypeError, "expected the name of a zone, and a name in it");
        return -1;
    }
    *apex = (Sought){(unsigned char *)PyBytes_AS_STRING(args[0]), PyBytes_GET_SIZE(args[0]), 0};
    *name = (Sought){(unsigned char *)PyBytes_AS_STRING(args[1]), PyBytes_GET_SIZE(args[1]), 0};
    return 0;
}

PyDoc_STRVAR(find_doc, "find(name): the entry of a name, of the deepest zone that holds it; also an occluded one.");
static PyObject *table_find(Table *self, PyObject *name) {
    Entry entry;
    const Mapped *of = find_either(&self->layers, name, NULL, &entry);
    if (!of) Py_RETURN_NONE;
    return entry_object(of, &entry);
}

PyDoc_STRVAR(find_in_doc, "find_in(apex, name): the entry of a name in this zone; also a shadowed or occluded one.");
static PyObject *table_find_in(Table *self, PyObject *const *args, Py_ssize_t count) {
    Sought apex, name;
    Entry entry;
    if (parse_place(args, count, &apex, &name) < 0) return NULL;
    const Mapped *of = find_placed(&self->layers, &apex, &name, &entry);
    if (!of) Py_RETURN_NONE;
    return entry_object(of, &entry);
}

PyDoc_STRVAR(head_doc, "head(name, apex=None): the entry of a name without its data: as `find`, or as `find_in`.");
static PyObject *table_head(Table *self, PyObject *const *args, Py_ssize_t count) {
    Entry entry;
    if (count < 1 || count > 2) return PyErr_Format(PyExc_TypeError, "expected one or two names");
    const Mapped *of = find_either(&self->layers, args[0], count > 1 ? args[1] : NULL, &entry);
    if (!of) Py_RETURN_NONE;
    PyObject *items[] = {PyLong_FromLong(entry.flags), PyLong_FromUnsignedLong(entry.kind),
                         sets_of(of, &entry, type_of)};
    return tuple_of(head_type, 3, items);
}

PyDoc_STRVAR(find_set_doc, "find_set(rtype, name, apex=None): one RRset of a name, of the entry as for `head`.");
static PyObject *table_find_set(Table *self, PyObject *const *args, Py_ssize_t count) {
    Entry entry;
    Set set;
    if (count < 2 || count > 3) return PyErr_Format(PyExc_TypeError, "expected a type, and one or two names");
    long rtype = PyLong_AsLong(args[0]);
    if (rtype == -1 && PyErr_Occurred()) return NULL;
    const Mapped *of = find_either(&self->layers, args[1], count > 2 ? args[2] : NULL, &entry);
    uint64_t at = of ? entry.sets : 0;
    for (int left = of ? entry.set_count : 0; left && next_set(of, &at, &set); left--)
        if (set.rtype == rtype) return set_object(&set);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(before_doc, "before(apex, name): the last entry of a zone before a name; None without one.");
static PyObject *table_before(Table *self, PyObject *const *args, Py_ssize_t count) {
    Sought apex, name;
    uint64_t left = 1;
    if (parse_place(args, count, &apex, &name) < 0) return NULL;
    for (int i = 0; i < self->layers.count; i++) left += self->layers.tables[i].head.entries;
    for (; left; left--) { /* each turn goes back to a removed name */
        const Mapped *of = NULL;
        Entry entry = {.flags = GONE}, one;
        for (int i = 0; i < self->layers.count; i++) {
            const Mapped *table = &self->layers.tables[i];
            uint64_t at;
            seek(table, find_range(table, apex.name, apex.size), &name, &at);
            if (at == UINT64_MAX || !entry_at(table, at, &one)) continue;
            if (of && compare_names(one.name, one.name_size, entry.name, entry.name_size) < 0) continue;
            of = table;
            entry = one;
        }
        if (!of) break;
        if (!(entry.flags & GONE)) return entry_object(of, &entry);
        name = (Sought){entry.name, entry.name_size, 0};
    }
    Py_RETURN_NONE;
}

#endif

/* The functions of _table.c that make tables: from rows, or from other tables. */

#ifndef DNSD_MAKING_H
#define DNSD_MAKING_H

static int parse_key(PyObject *octets, uint64_t key[2]) {
    if (PyBytes_Check(octets) && PyBytes_GET_SIZE(octets) == 16) {
        memcpy(key, PyBytes_AS_STRING(octets), 16);
        return 0;
    }
    PyErr_SetString(PyExc_ValueError, "a key has 16 octets");
    return -1;
}

/* One (apex, kind, rows). 0, or -1 with an exception. */
static int parse_zone(PyObject *item, ZoneRows *zone, Py_buffer *rows) {
    PyObject *apex;
    unsigned int kind;
    if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "O!Iy*", &PyBytes_Type, &apex, &kind, rows)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "a zone is a tuple");
        return -1;
    }
    const unsigned char *name = (unsigned char *)PyBytes_AS_STRING(apex);
    *zone = (ZoneRows){.apex = name, .apex_size = PyBytes_GET_SIZE(apex), .kind = kind};
    zone->rows.entries = rows->buf;
    zone->rows.head.size = rows->len;
    if (PyBytes_GET_SIZE(apex) <= NAME_LIMIT && is_name(name, zone->apex_size)) return 0;
    PyBuffer_Release(rows);
    PyErr_SetString(PyExc_ValueError, "the name of a zone is not a name");
    return -1;
}

PyDoc_STRVAR(pack_doc, "pack(zones, key, changes=False): the octets of a table; `zones` is a sequence of (apex, kind of its\n"
                       "empty non-terminals, octets of rows in any order), `key` 16 octets for the hash. A zone without\n"
                       "octets only shadows names of the zones above it. `changes`: the rows have their flags already.\n"
                       "Raises ValueError for rows that cannot be those of a table.");
static PyObject *pack(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *list, *key_octets, *made = NULL;
    uint64_t key[2], expected = 4096;
    int are_changes = 0;
    if (!PyArg_ParseTuple(args, "OO|p", &list, &key_octets, &are_changes) ||
        parse_key(key_octets, key) < 0)
        return NULL;
    PyObject *fixed = PySequence_Tuple(list); /* of which other threads change nothing */
    if (!fixed) return NULL;
    size_t count = PyTuple_GET_SIZE(fixed), parsed = 0;
    ZoneRows *zones = PyMem_Calloc(count ? count : 1, sizeof *zones);
    Py_buffer *buffers = PyMem_Calloc(count ? count : 1, sizeof *buffers);
    if (!zones || !buffers) PyErr_NoMemory();
    for (; zones && buffers && parsed < count; parsed++) {
        if (parse_zone(PyTuple_GET_ITEM(fixed, parsed), &zones[parsed], &buffers[parsed]) < 0) break;
        expected += buffers[parsed].len + ENTRY_FIXED + NAME_LIMIT;
    }
    Output out;
    if (!PyErr_Occurred() && begin_output(&out, key, expected) == 0) {
        out.may_repeat = are_changes;
        put_zones(&out, zones, count, are_changes);
        made = end_output(&out);
    }
    while (parsed) PyBuffer_Release(&buffers[--parsed]);
    PyMem_Free(zones);
    PyMem_Free(buffers);
    Py_DECREF(fixed);
    return made;
}

/* The names of all zones of a table, or those in a tuple, in order; NULL with an exception. */
static Sought *parse_zones(const Mapped *table, PyObject *names, size_t *count) {
    size_t most = names ? (size_t)PyTuple_GET_SIZE(names) : table->head.zones;
    Sought *zones = PyMem_Calloc(most + 1, sizeof *zones);
    Entry mark;
    *count = 0;
    if (!zones) PyErr_NoMemory();
    for (size_t i = 0; zones && i < most; i++) {
        PyObject *name = names ? PyTuple_GET_ITEM(names, i) : NULL;
        if (!name) {
            if (entry_at(table, place_in(table->zones, i), &mark))
                zones[(*count)++] = (Sought){mark.name, mark.name_size, 0};
        } else if (PyBytes_Check(name) && PyBytes_GET_SIZE(name) <= NAME_LIMIT) {
            zones[(*count)++] = (Sought){(unsigned char *)PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), 0};
        } else {
            PyErr_SetString(PyExc_ValueError, "the name of a zone is not a name");
            PyMem_Free(zones);
            return NULL;
        }
    }
    if (zones) qsort(zones, *count, sizeof *zones, compare_sought);
    return zones;
}

PyDoc_STRVAR(merge_doc, "merge(tables, key, keep_gone, replaced=()): the octets of one table from those of several, the\n"
                        "latest last; removed names are left out, or kept as such for an overlay. Of the zones in the\n"
                        "tuple `replaced`, only the latest table counts. Raises ValueError.");
static PyObject *merge(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *list, *key_octets, *replaced = NULL, *made = NULL;
    uint64_t key[2], expected = 4096;
    size_t count = 0;
    int keep_gone;
    Layers layers = {0};
    Sought *zones = NULL;
    Output out;
    if (!PyArg_ParseTuple(args, "O!Op|O!", &PyTuple_Type, &list, &key_octets, &keep_gone, &PyTuple_Type, &replaced) ||
        parse_key(key_octets, key) < 0)
        return NULL;
    int failed = replaced && !(zones = parse_zones(NULL, replaced, &count));
    for (Py_ssize_t i = 0; !failed && i < PyTuple_GET_SIZE(list); i++) {
        failed = hold(&layers, PyTuple_GET_ITEM(list, i)) < 0;
        if (!failed) expected += layers.tables[i].head.size;
    }
    if (!failed && begin_output(&out, key, expected) == 0) {
        out.may_repeat = keep_gone;
        put_merged(&out, layers.tables, layers.count, keep_gone, zones, count);
        made = end_output(&out);
    }
    release(&layers);
    PyMem_Free(zones);
    return made;
}

PyDoc_STRVAR(difference_doc, "difference(old, new, apexes, key, most=None): the changes that turn these zones of an EntryTable\n"
                             "into those in octets of another one; `apexes`: None for all zones of the new one. None if\n"
                             "there are more than `most` entries. Raises ValueError.");
static PyObject *difference(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *table, *octets, *apexes, *key_octets, *made = NULL;
    uint64_t key[2];
    unsigned int most = UINT32_MAX;
    if (!PyArg_ParseTuple(args, "O!OOO|I", &TableType, &table, &octets, &apexes, &key_octets, &most) ||
        parse_key(key_octets, key) < 0)
        return NULL;
    Layers new = {0}, old = {0}, *held = &((Table *)table)->layers;
    PyObject *names = apexes == Py_None ? NULL : PySequence_Tuple(apexes);
    Sought *zones = NULL;
    size_t count;
    Output out;
    int failed = hold(&new, octets) < 0;
    for (int i = 0; !failed && i < held->count; i++) failed = hold(&old, held->buffers[i].obj) < 0;
    if (!failed && !PyErr_Occurred()) zones = parse_zones(&new.tables[0], names, &count);
    if (zones && begin_output(&out, key, 4096) == 0) {
        out.may_repeat = 1;
        put_differences(&out, old.tables, old.count, &new.tables[0], zones, count, most);
        made = end_output(&out);
        if (made && out.head.entries > most) Py_SETREF(made, Py_NewRef(Py_None));
    }
    PyMem_Free(zones);
    Py_XDECREF(names);
    release(&old);
    release(&new);
    return made;
}

#endif

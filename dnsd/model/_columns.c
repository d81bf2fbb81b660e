/* Passes over all records of a zone: plain_columns.py does the same. A column is the octets of all records, and the end
   of each one's octets: numbers of 4 octets, or of 8 if there are too many octets. Indexes take 4 octets each. */

#include "column.h"
#include "../siphash.h"
#include "../sources.h"

PyDoc_STRVAR(pack_doc, "pack(items): a column of these octets, as its octets and ends.");
static PyObject *pack(PyObject *Py_UNUSED(module), PyObject *items) {
    if (!PyList_CheckExact(items) || PyList_GET_SIZE(items) >= MOST)
        return PyErr_SetString(PyExc_TypeError, "items are a list, not too long"), NULL;
    Py_ssize_t count = PyList_GET_SIZE(items);
    uint64_t size = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        if (!PyBytes_CheckExact(item)) return PyErr_SetString(PyExc_TypeError, "items are octets"), NULL;
        size += PyBytes_GET_SIZE(item);
    }
    int is_wide = size >= WIDE;
    PyObject *octets = PyBytes_FromStringAndSize(NULL, size);
    PyObject *ends = octets ? PyBytes_FromStringAndSize(NULL, (is_wide ? 8 : 4) * count) : NULL;
    if (!ends) return Py_XDECREF(octets), NULL;
    char *to = PyBytes_AS_STRING(octets), *end = PyBytes_AS_STRING(ends);
    for (Py_ssize_t i = 0; i < count; i++) { /* nothing else runs meanwhile */
        PyObject *item = PyList_GET_ITEM(items, i);
        memcpy(to, PyBytes_AS_STRING(item), PyBytes_GET_SIZE(item));
        to += PyBytes_GET_SIZE(item);
        uint64_t wide = to - PyBytes_AS_STRING(octets);
        uint32_t narrow = wide;
        if (is_wide) memcpy(end + 8 * i, &wide, 8);
        else memcpy(end + 4 * i, &narrow, 4);
    }
    return Py_BuildValue("NN", octets, ends);
}

PyDoc_STRVAR(cut_doc, "cut(octets, ends, start, stop): the items from a start to a stop.");
static PyObject *cut(PyObject *Py_UNUSED(module), PyObject *args) {
    Column column;
    Py_ssize_t start, stop;
    if (!PyArg_ParseTuple(args, "y*y*nn", &column.octets, &column.ends, &start, &stop)) return NULL;
    PyObject *made = NULL;
    if (measure(&column) == 0) {
        if (stop > start && (start < 0 || stop > column.count)) PyErr_SetString(PyExc_ValueError, "no such items");
        else made = PyList_New(stop > start ? stop - start : 0);
    }
    for (Py_ssize_t i = start; made && i < stop; i++) {
        Item item;
        PyObject *one = find(&column, i, &item) < 0 ? NULL : PyBytes_FromStringAndSize((char *)item.at, item.size);
        if (one) PyList_SET_ITEM(made, i - start, one);
        else Py_CLEAR(made);
    }
    release(&column);
    return made;
}

PyDoc_STRVAR(pick_doc, "pick(octets, ends, indexes): the items at these indexes.");
static PyObject *pick(PyObject *Py_UNUSED(module), PyObject *args) {
    Column column;
    Py_buffer indexes;
    if (!PyArg_ParseTuple(args, "y*y*y*", &column.octets, &column.ends, &indexes)) return NULL;
    PyObject *made = measure(&column) < 0 ? NULL : PyList_New(indexes.len / 4);
    for (Py_ssize_t i = 0; made && i < indexes.len / 4; i++) {
        Item item;
        uint32_t index;
        memcpy(&index, (char *)indexes.buf + 4 * i, 4);
        PyObject *one = find(&column, index, &item) < 0 ? NULL : PyBytes_FromStringAndSize((char *)item.at, item.size);
        if (one) PyList_SET_ITEM(made, i, one);
        else Py_CLEAR(made);
    }
    release(&column);
    PyBuffer_Release(&indexes);
    return made;
}

PyDoc_STRVAR(moved_doc, "moved(octets, ends, start, stop, base, is_wide): the ends of these items if they begin at\n"
                        "`base`, as numbers of 8 octets or of 4.");
static PyObject *moved(PyObject *Py_UNUSED(module), PyObject *args) {
    Column column;
    Py_ssize_t start, stop, base;
    int is_wide;
    if (!PyArg_ParseTuple(args, "y*y*nnnp", &column.octets, &column.ends, &start, &stop, &base, &is_wide)) return NULL;
    PyObject *made = NULL;
    if (!measure(&column) && 0 <= start && start <= stop && stop <= column.count) {
        made = PyBytes_FromStringAndSize(NULL, (is_wide ? 8 : 4) * (stop - start));
        uint64_t before = start ? end_of(&column, start - 1) : 0;
        for (Py_ssize_t i = start; made && i < stop; i++) {
            uint64_t wide = end_of(&column, i) - before + base;
            uint32_t narrow = wide;
            if (is_wide) memcpy(PyBytes_AS_STRING(made) + 8 * (i - start), &wide, 8);
            else memcpy(PyBytes_AS_STRING(made) + 4 * (i - start), &narrow, 4);
        }
    } else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "no such items");
    release(&column);
    return made;
}

/* The indexes of the items of a column that are like the octets in the arguments. */
static PyObject *places_like(PyObject *args, int (*is_like)(Item item, Item wanted)) {
    Column column;
    Py_buffer wanted;
    Indexes found = {.count = 0};
    if (!PyArg_ParseTuple(args, "y*y*y*", &column.octets, &column.ends, &wanted)) return NULL;
    Item item, like = {wanted.buf, wanted.len};
    int failed = measure(&column) < 0;
    for (Py_ssize_t i = 0; !failed && i < column.count; i++) {
        failed = find(&column, i, &item) < 0;
        if (!failed && is_like(item, like)) failed = put(&found, i) < 0;
    }
    release(&column);
    PyBuffer_Release(&wanted);
    return octets_of(&found, failed);
}

static int begins_with(Item item, Item wanted) {
    return item.size >= wanted.size && !memcmp(item.at, wanted.at, wanted.size);
}

PyDoc_STRVAR(places_doc, "places(octets, ends, wanted): the indexes of the items that equal `wanted`.");
static PyObject *places(PyObject *Py_UNUSED(module), PyObject *args) { return places_like(args, is_equal); }

PyDoc_STRVAR(starting_doc, "starting(octets, ends, beginning): the indexes of the items that begin like this.");
static PyObject *starting(PyObject *Py_UNUSED(module), PyObject *args) { return places_like(args, begins_with); }

static int ends_with(Item item, Item wanted) { /* letters of `wanted` are small */
    if (item.size < wanted.size) return 0;
    const unsigned char *at = item.at + item.size - wanted.size;
    for (size_t i = 0; i < wanted.size; i++)
        if ((at[i] >= 'A' && at[i] <= 'Z' ? at[i] | 32 : at[i]) != wanted.at[i]) return 0;
    return 1;
}

PyDoc_STRVAR(ending_doc, "ending(octets, ends, indexes, ending): of these indexes, those of items that end like this but for\n"
                         "the case of letters; `ending` is in lower case.");
static PyObject *ending(PyObject *Py_UNUSED(module), PyObject *args) {
    Column column;
    Py_buffer indexes, wanted;
    Indexes found = {.count = 0};
    if (!PyArg_ParseTuple(args, "y*y*y*y*", &column.octets, &column.ends, &indexes, &wanted)) return NULL;
    Item item, like = {wanted.buf, wanted.len};
    int failed = measure(&column) < 0;
    for (Py_ssize_t i = 0; !failed && i < indexes.len / 4; i++) {
        uint32_t index;
        memcpy(&index, (char *)indexes.buf + 4 * i, 4);
        failed = find(&column, index, &item) < 0;
        if (!failed && ends_with(item, like)) failed = put(&found, index) < 0;
    }
    release(&column);
    PyBuffer_Release(&indexes);
    PyBuffer_Release(&wanted);
    return octets_of(&found, failed);
}

PyDoc_STRVAR(set_marks_doc, "set_marks(marks, indexes, bits): set these bits of the octets at these indexes.");
static PyObject *set_marks(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer marks, indexes;
    unsigned char bits;
    if (!PyArg_ParseTuple(args, "w*y*b", &marks, &indexes, &bits)) return NULL;
    int failed = 0;
    for (Py_ssize_t i = 0; !failed && i < indexes.len / 4; i++) {
        uint32_t index;
        memcpy(&index, (char *)indexes.buf + 4 * i, 4);
        if (index >= (uint64_t)marks.len) failed = 1;
        else ((unsigned char *)marks.buf)[index] |= bits;
    }
    PyBuffer_Release(&marks);
    PyBuffer_Release(&indexes);
    if (failed) return PyErr_SetString(PyExc_ValueError, "no such mark"), NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(marked_doc, "marked(marks, wanted): the indexes of the octets at which `wanted`, of 256 octets, has one that is\n"
                         "not 0.");
static PyObject *marked(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer marks, wanted;
    Indexes found = {.count = 0};
    if (!PyArg_ParseTuple(args, "y*y*", &marks, &wanted)) return NULL;
    int failed = wanted.len != 256 || marks.len >= MOST;
    if (failed) PyErr_SetString(PyExc_ValueError, "`wanted` has 256 octets, and marks are not too many");
    for (Py_ssize_t i = 0; !failed && i < marks.len; i++)
        if (((char *)wanted.buf)[((unsigned char *)marks.buf)[i]]) failed = put(&found, i) < 0;
    PyBuffer_Release(&marks);
    PyBuffer_Release(&wanted);
    return octets_of(&found, failed);
}

PyDoc_STRVAR(chosen_doc, "chosen(numbers, wanted): the indexes of the numbers, of 4 octets each, at which `wanted` has an\n"
                         "octet that is not 0.");
static PyObject *chosen(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer numbers, wanted;
    Indexes found = {.count = 0};
    if (!PyArg_ParseTuple(args, "y*y*", &numbers, &wanted)) return NULL;
    int failed = 0;
    for (Py_ssize_t i = 0; !failed && i < numbers.len / 4; i++) {
        uint32_t number;
        memcpy(&number, (char *)numbers.buf + 4 * i, 4);
        if (number >= (uint64_t)wanted.len) failed = 1;
        else if (((char *)wanted.buf)[number]) failed = put(&found, i) < 0;
    }
    PyBuffer_Release(&numbers);
    PyBuffer_Release(&wanted);
    if (failed && !PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "`wanted` has an octet for each number");
    return octets_of(&found, failed);
}

PyDoc_STRVAR(larger_doc, "larger(octets, ends, size): the indexes of the items with more octets than `size`.");
static PyObject *larger(PyObject *Py_UNUSED(module), PyObject *args) {
    Column column;
    Py_ssize_t size;
    Indexes found = {.count = 0};
    if (!PyArg_ParseTuple(args, "y*y*n", &column.octets, &column.ends, &size)) return NULL;
    Item item;
    int failed = measure(&column) < 0;
    for (Py_ssize_t i = 0; !failed && i < column.count; i++) {
        failed = find(&column, i, &item) < 0;
        if (!failed && size < (Py_ssize_t)item.size) failed = put(&found, i) < 0;
    }
    release(&column);
    return octets_of(&found, failed);
}

typedef struct {
    uint32_t hash, index; /* `index`: of the first record of a name, plus 1; 0: free */
} Slot;

enum { AHEAD = 32 }; /* owners hashed at once */

/* Count the records of each name, at its first one. The most of one name, or 0 after a failure. */
static uint32_t mark(const Column *owners, const uint64_t key[2], Slot *slots, size_t mask, uint32_t *numbers) {
    uint32_t most = 1, first = 0;
    uint64_t hashes[AHEAD];
    Item before = {NULL, 0}, owner, other;
    for (Py_ssize_t i = 0; i < owners->count; i++, before = owner) {
        if (i % AHEAD == 0) /* fetch the slots of the next owners: most wait for memory otherwise */
            for (Py_ssize_t next = i; next < i + AHEAD && next < owners->count; next++) {
                if (find(owners, next, &owner) < 0) return 0;
                hashes[next - i] = siphash(key, owner.at, owner.size);
                __builtin_prefetch(slots + (hashes[next - i] & mask), 1);
            }
        if (find(owners, i, &owner) < 0) return 0;
        if (!i || !is_equal(owner, before)) { /* else the first one is known */
            uint64_t hash = hashes[i % AHEAD];
            Slot *slot = slots + (hash & mask);
            uint32_t high = hash >> 32;
            for (; slot->index; slot = slot == slots + mask ? slots : slot + 1) {
                if (slot->hash != high) continue;
                if (find(owners, slot->index - 1, &other) < 0) return 0;
                if (is_equal(owner, other)) break;
            }
            if (!slot->index) slot->hash = high, slot->index = i + 1;
            first = slot->index - 1;
        }
        numbers[i] = first == i ? 1 : 0;
        if (first != i && ++numbers[first] > most) most = numbers[first];
    }
    return most;
}

PyDoc_STRVAR(group_doc, "group(octets, ends, key): the indexes of records that share their owner with others, and the\n"
                        "largest number of records of one owner. `key`: 16 octets.");
static PyObject *group(PyObject *Py_UNUSED(module), PyObject *args) {
    Column owners;
    Py_buffer given;
    uint64_t key[2];
    if (!PyArg_ParseTuple(args, "y*y*y*", &owners.octets, &owners.ends, &given)) return NULL;
    int failed = measure(&owners) < 0 || given.len != sizeof key;
    size_t room = failed ? 1 : slots_for(owners.count);
    Slot *slots = PyMem_Calloc(room, sizeof *slots);
    uint32_t *numbers = PyMem_Calloc(failed ? 1 : owners.count + 1, sizeof *numbers);
    Indexes found = {.count = 0};
    if (!failed) memcpy(key, given.buf, sizeof key);
    uint32_t most = !failed && slots && numbers ? mark(&owners, key, slots, room - 1, numbers) : 0;
    failed = !most;
    if (most > 1)
        for (Py_ssize_t i = 0; !failed && i < owners.count; i++)
            if (numbers[i] != 1) failed = put(&found, i) < 0;
    PyMem_Free(slots);
    PyMem_Free(numbers);
    release(&owners);
    PyBuffer_Release(&given);
    if (failed && !PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "this column or key does not fit");
    PyObject *made = octets_of(&found, failed);
    return made ? Py_BuildValue("NI", made, most) : NULL;
}

/* Put the numbers of names, in the order of their first records, and the indexes of these. -1 after a failure. */
static int number_names(const Column *owners, const Py_buffer *indexes, const uint64_t key[2], uint32_t *names,
                        Indexes *firsts) {
    size_t count = indexes->len / 4, room = slots_for(count), at;
    uint32_t *slots = PyMem_Calloc(room, sizeof *slots), index; /* the number of a name plus 1; 0: free */
    int failed = !slots;
    Item before = {NULL, 0}, owner, other;
    for (size_t i = 0; !failed && i < count; i++, before = owner) {
        memcpy(&index, (char *)indexes->buf + 4 * i, 4);
        if ((failed = find(owners, index, &owner) < 0)) break;
        if (i && is_equal(owner, before)) {
            names[i] = names[i - 1];
            continue;
        }
        for (at = siphash(key, owner.at, owner.size) & (room - 1); !failed && slots[at]; at = (at + 1) & (room - 1)) {
            failed = find(owners, firsts->at[slots[at] - 1], &other) < 0;
            if (!failed && is_equal(owner, other)) break;
        }
        if (!failed && !slots[at]) {
            failed = put(firsts, index) < 0;
            slots[at] = firsts->count;
        }
        names[i] = slots[at] - 1;
    }
    PyMem_Free(slots);
    return failed ? -1 : 0;
}

PyDoc_STRVAR(together_doc, "together(octets, ends, indexes, key): these indexes name by name, and where each name's end.\n"
                           "Names come in the order of their first records. `key`: 16 octets.");
static PyObject *together(PyObject *Py_UNUSED(module), PyObject *args) {
    Column owners;
    Py_buffer indexes, given;
    uint64_t key[2];
    if (!PyArg_ParseTuple(args, "y*y*y*y*", &owners.octets, &owners.ends, &indexes, &given)) return NULL;
    int failed = measure(&owners) < 0 || given.len != sizeof key || indexes.len / 4 >= MOST;
    size_t count = failed ? 0 : indexes.len / 4;
    uint32_t *names = PyMem_Malloc((count + 1) * sizeof *names), *ends = NULL;
    Indexes firsts = {.count = 0};
    if (!failed) memcpy(key, given.buf, sizeof key);
    failed = failed || !names || number_names(&owners, &indexes, key, names, &firsts) < 0;
    PyObject *order = failed ? NULL : PyBytes_FromStringAndSize(NULL, 4 * count), *made = NULL;
    if (order && (ends = PyMem_Calloc(firsts.count + 1, sizeof *ends))) {
        for (size_t i = 0; i < count; i++) ends[names[i] + 1]++; /* then: where each name's begin */
        for (size_t name = 0; name < firsts.count; name++) ends[name + 1] += ends[name];
        for (size_t i = 0; i < count; i++) /* then: where each name's end */
            memcpy(PyBytes_AS_STRING(order) + 4 * (size_t)ends[names[i]]++, (char *)indexes.buf + 4 * i, 4);
        made = Py_BuildValue("Oy#", order, (char *)ends, (Py_ssize_t)(4 * firsts.count));
    } else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "this column or key does not fit");
    Py_XDECREF(order);
    PyMem_Free(ends);
    PyMem_Free(names);
    PyMem_Free(firsts.at);
    release(&owners);
    PyBuffer_Release(&indexes);
    PyBuffer_Release(&given);
    return made;
}

/* A number for an owner and data, whatever the case of letters. */
static uint64_t number_of(const uint64_t key[2], Item owner, Item rdata, unsigned char *lower) {
    for (size_t i = 0; i < rdata.size; i++) lower[i] = Py_TOLOWER(rdata.at[i]);
    uint64_t number = siphash(key, lower, rdata.size) + 0x9e3779b97f4a7c15u * siphash(key, owner.at, owner.size);
    return number ? number : 1;
}

/* Put the indexes of `grouped` that may repeat one before. -1 after a failure. */
static int put_alike(const Column *owners, const Column *rdatas, const Py_buffer *grouped, const uint64_t key[2],
                     Indexes *found) {
    size_t count = grouped->len / 4, room = slots_for(count);
    uint64_t *slots = PyMem_Calloc(room, sizeof *slots);
    unsigned char *lower = PyMem_Malloc(1 << 16);
    int failed = !slots || !lower;
    for (size_t i = 0; !failed && i < count; i++) {
        uint32_t index;
        Item owner, rdata;
        memcpy(&index, (char *)grouped->buf + 4 * i, 4);
        failed = find(owners, index, &owner) < 0 || find(rdatas, index, &rdata) < 0 || rdata.size >= 1 << 16;
        if (failed) break;
        uint64_t number = number_of(key, owner, rdata, lower);
        size_t slot = number & (room - 1);
        while (slots[slot] && slots[slot] != number) slot = (slot + 1) & (room - 1);
        if (slots[slot]) failed = put(found, index) < 0;
        slots[slot] = number;
    }
    PyMem_Free(slots);
    PyMem_Free(lower);
    return failed ? -1 : 0;
}

PyDoc_STRVAR(like_doc, "like(owners, their ends, rdatas, their ends, grouped, key): of the records at the indexes\n"
                       "`grouped`, those that may repeat one before, as owner and data are equal but for the case of\n"
                       "letters. `key`: 16 octets.");
static PyObject *like(PyObject *Py_UNUSED(module), PyObject *args) {
    Column owners, rdatas;
    Py_buffer grouped, given;
    uint64_t key[2];
    Indexes found = {.count = 0};
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*", &owners.octets, &owners.ends, &rdatas.octets, &rdatas.ends, &grouped,
                          &given))
        return NULL;
    int failed = measure(&owners) < 0 || measure(&rdatas) < 0;
    failed = failed || owners.count != rdatas.count || given.len != sizeof key;
    if (!failed) memcpy(key, given.buf, sizeof key);
    failed = failed || put_alike(&owners, &rdatas, &grouped, key, &found) < 0;
    if (failed && !PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "these columns do not fit");
    release(&owners);
    release(&rdatas);
    PyBuffer_Release(&grouped);
    PyBuffer_Release(&given);
    return octets_of(&found, failed);
}

/* Whether a name is another one, or below it. */
static int is_within(Item name, const unsigned char *zone, Py_ssize_t size) {
    Py_ssize_t at = 0, last = (Py_ssize_t)name.size - size;
    while (at < last) at += 1 + name.at[at];
    return at == last && !memcmp(name.at + at, zone, size);
}

PyDoc_STRVAR(outside_doc, "outside(octets, ends, name, most): the indexes of owners that are neither `name` nor below\n"
                          "it, the first `most` of them.");
static PyObject *outside(PyObject *Py_UNUSED(module), PyObject *args) {
    Column owners;
    Py_buffer zone;
    Py_ssize_t most;
    Indexes found = {.count = 0};
    if (!PyArg_ParseTuple(args, "y*y*y*n", &owners.octets, &owners.ends, &zone, &most)) return NULL;
    int failed = measure(&owners) < 0;
    for (Py_ssize_t i = 0; !failed && i < owners.count && (Py_ssize_t)found.count < most; i++) {
        Item owner;
        failed = find(&owners, i, &owner) < 0;
        if (!failed && !is_within(owner, zone.buf, zone.len)) failed = put(&found, i) < 0;
    }
    release(&owners);
    PyBuffer_Release(&zone);
    return octets_of(&found, failed);
}

static PyMethodDef functions[] = {
    {"pack", pack, METH_O, pack_doc},
    {"cut", cut, METH_VARARGS, cut_doc},
    {"pick", pick, METH_VARARGS, pick_doc},
    {"moved", moved, METH_VARARGS, moved_doc},
    {"places", places, METH_VARARGS, places_doc},
    {"starting", starting, METH_VARARGS, starting_doc},
    {"ending", ending, METH_VARARGS, ending_doc},
    {"set_marks", set_marks, METH_VARARGS, set_marks_doc},
    {"marked", marked, METH_VARARGS, marked_doc},
    {"chosen", chosen, METH_VARARGS, chosen_doc},
    {"larger", larger, METH_VARARGS, larger_doc},
    {"group", group, METH_VARARGS, group_doc},
    {"together", together, METH_VARARGS, together_doc},
    {"like", like, METH_VARARGS, like_doc},
    {"outside", outside, METH_VARARGS, outside_doc},
    {0},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "dnsd.model._columns", .m_doc = "Passes over all records of a zone.", .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__columns(void) { return PyModule_Create(&module); }

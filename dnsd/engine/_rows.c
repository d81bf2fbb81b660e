/* Rows of names, made from columns of their records (entry.h: their octets). entry.py does the same. */

#include "entry.h"
#include "../model/column.h"
#include "../sources.h"

enum { RECORD_FIXED = 12, MOST_SETS = 256 }; /* RECORD_FIXED: C0 0C, type, class, TTL, length */

/* What stands in a row for a record with certain traits. */
typedef struct {
    uint32_t kind, ttl;
    uint16_t rtype;
    unsigned char flags, is_hidden; /* hidden: nothing */
} Treatment;

typedef struct {
    Column owners, rdatas;
    Py_buffer traits, order, ends; /* numbers of 4 octets: of each record; records, name by name; each name's end there,
                                      or nothing if each name has one record */
    Py_buffer special;             /* an octet for each record: whether its name has a rule */
    Treatment *treatments;
    size_t treatment_count, names;
} Source;

static uint32_t number_at(const Py_buffer *numbers, size_t index) {
    uint32_t number;
    memcpy(&number, (char *)numbers->buf + 4 * index, 4);
    return number;
}

/* Find a record and its treatment; -1 if there is none. Like all that writes rows, it needs no GIL. */
static int record_at(const Source *source, size_t place, uint32_t *index, const Treatment **treatment) {
    *index = number_at(&source->order, place);
    if (*index >= (size_t)source->special.len) return -1;
    uint32_t traits = number_at(&source->traits, *index);
    if (traits >= source->treatment_count) return -1;
    *treatment = &source->treatments[traits];
    return 0;
}

/* Write the set of a type to `out`, up to `end`, or measure it. Its octets; 0 after an error. */
static size_t write_set(const Source *source, size_t from, size_t to, uint16_t rtype, unsigned char *out,
                        const unsigned char *end) {
    size_t body = 0, records = 0;
    uint32_t ttl = UINT32_MAX, index;
    const Treatment *treatment;
    Item rdata;
    for (size_t i = from; i < to; i++) {
        if (record_at(source, i, &index, &treatment) < 0) return 0;
        if (treatment->rtype != rtype || treatment->is_hidden) continue;
        if (locate(&source->rdatas, index, &rdata) < 0) return 0;
        if (rdata.size > UINT16_MAX) return 0;
        body += RECORD_FIXED + rdata.size;
        if (treatment->ttl < ttl) ttl = treatment->ttl;
        records++;
    }
    if (records > UINT16_MAX || body > UINT32_MAX) return 0;
    size_t fixed = SET_FIXED + (body >= LARGE ? 4 : 0);
    if (!out) return fixed + even(body);
    if ((size_t)(end - out) < fixed + even(body)) return 0; /* another thread has changed the records */
    uint16_t head[] = {rtype, records, body < LARGE ? body : LARGE};
    uint32_t large = body;
    memcpy(out, head, SET_FIXED);
    if (body >= LARGE) memcpy(out + SET_FIXED, &large, 4);
    unsigned char *at = out + fixed;
    for (size_t i = from; i < to; i++) {
        if (record_at(source, i, &index, &treatment) < 0) return 0;
        if (treatment->rtype != rtype || treatment->is_hidden) continue;
        if (locate(&source->rdatas, index, &rdata) < 0 || (size_t)(end - at) < RECORD_FIXED + rdata.size) return 0;
        unsigned char record[RECORD_FIXED] = {0xC0, 0x0C, rtype >> 8, rtype & 255, 0, 1, ttl >> 24, ttl >> 16, ttl >> 8,
                                              ttl, rdata.size >> 8, rdata.size};
        memcpy(at, record, RECORD_FIXED);
        memcpy(at + RECORD_FIXED, rdata.at, rdata.size);
        at += RECORD_FIXED + rdata.size;
    }
    return fixed + even(body);
}

/* Write the row of the name of these records to `out`, where all octets are 0, up to `end`, or measure it. Its octets; 0
   after an error. */
static size_t write_row(const Source *source, size_t from, size_t to, unsigned char *out, const unsigned char *end) {
    uint16_t types[MOST_SETS], sets = 0;
    uint32_t first, index;
    const Treatment *treatment;
    Item name;
    if (from >= to || to > (size_t)source->order.len / 4) return 0;
    if (record_at(source, from, &first, &treatment) < 0 || locate(&source->owners, first, &name) < 0) return 0;
    if (name.size > NAME_LIMIT) return 0;
    uint32_t kind = treatment->kind;
    unsigned char flags = treatment->flags;
    size_t size = ENTRY_FIXED + even(name.size);
    for (size_t i = from; i < to; i++) {
        int known = 0;
        if (record_at(source, i, &index, &treatment) < 0) return 0;
        if (((char *)source->special.buf)[index] || treatment->flags & SPECIAL) flags = SPECIAL;
        for (int set = 0; set < sets; set++) known |= types[set] == treatment->rtype;
        if (known || treatment->is_hidden) continue;
        if (sets == MOST_SETS) return 0;
        types[sets++] = treatment->rtype;
    }
    if (out && (size_t)(end - out) < size) return 0;
    if (out) {
        unsigned char head[] = {flags, name.size};
        memcpy(out, head, 2);
        memcpy(out + 2, &sets, 2);
        memcpy(out + 4, &kind, 4);
        memcpy(out + ENTRY_FIXED, name.at, name.size);
    }
    for (int set = 0; set < sets; set++) {
        size_t octets = write_set(source, from, to, types[set], out ? out + size : NULL, end);
        if (!octets) return 0;
        size += octets;
    }
    return (size + 3) & ~(size_t)3;
}

/* Write the rows of all names to `out`, up to `end`, or measure them. Their octets; -1 after an error. */
static Py_ssize_t write_rows(const Source *source, unsigned char *out, const unsigned char *end) {
    size_t size = 0, from = 0;
    for (size_t name = 0; name < source->names; name++) {
        size_t to = source->ends.buf ? number_at(&source->ends, name) : name + 1;
        size_t row = write_row(source, from, to, out ? out + size : NULL, end);
        if (!row || (out && row > (size_t)(end - out) - size)) return -1;
        size += row;
        from = to;
    }
    return size;
}

/* Read the treatments, and compare the sizes of all columns; -1 after an error, perhaps with an exception. */
static int prepare(Source *source, PyObject *treatments) {
    if (measure(&source->owners) < 0 || measure(&source->rdatas) < 0) return -1;
    Py_ssize_t records = source->owners.count, count = PyList_GET_SIZE(treatments);
    if (source->rdatas.count != records || source->special.len != records || source->traits.len != 4 * records ||
        source->order.len % 4 || source->ends.len % 4)
        return -1;
    source->names = (source->ends.buf ? source->ends.len : source->order.len) / 4;
    source->treatments = PyMem_Calloc(count ? count : 1, sizeof *source->treatments);
    if (!source->treatments) return PyErr_NoMemory(), -1;
    for (; source->treatment_count < (size_t)count; source->treatment_count++) {
        Treatment *one = &source->treatments[source->treatment_count];
        int is_hidden;
        PyObject *item = PyList_GET_ITEM(treatments, source->treatment_count);
        if (!PyTuple_Check(item)) return -1;
        if (!PyArg_ParseTuple(item, "bIHIp", &one->flags, &one->kind, &one->rtype, &one->ttl, &is_hidden)) return -1;
        one->is_hidden = is_hidden;
    }
    return 0;
}

/* The rows of all names, made without the GIL; NULL after an error, perhaps with an exception. */
static PyObject *made_rows(const Source *source) {
    Py_ssize_t size, written = -1;
    Py_BEGIN_ALLOW_THREADS
    size = write_rows(source, NULL, NULL);
    Py_END_ALLOW_THREADS
    PyObject *made = size < 0 ? NULL : PyBytes_FromStringAndSize(NULL, size);
    if (!made) return NULL;
    unsigned char *out = (unsigned char *)PyBytes_AS_STRING(made);
    Py_BEGIN_ALLOW_THREADS
    memset(out, 0, size);
    written = write_rows(source, out, out + size);
    Py_END_ALLOW_THREADS
    if (written != size) Py_CLEAR(made);
    return made;
}

PyDoc_STRVAR(rows_doc, "rows(owners, ends, rdatas, ends, traits, special, order, ends, treatments): the rows of the names\n"
                       "whose records are at the indexes `order`, name by name, up to `ends` there; None: each name\n"
                       "has one record. A treatment is the\n"
                       "flags, kind, type, TTL, and whether nothing stands for the record. Raises ValueError.");
static PyObject *rows(PyObject *Py_UNUSED(module), PyObject *args) {
    Source source = {.treatments = NULL};
    PyObject *treatments, *made = NULL;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*y*z*O!", &source.owners.octets, &source.owners.ends, &source.rdatas.octets,
                          &source.rdatas.ends, &source.traits, &source.special, &source.order, &source.ends,
                          &PyList_Type, &treatments))
        return NULL;
    if (prepare(&source, treatments) == 0) made = made_rows(&source);
    if (!made && !PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "records that do not fit into rows");
    PyMem_Free(source.treatments);
    release(&source.owners);
    release(&source.rdatas);
    for (Py_buffer **one = (Py_buffer *[]){&source.traits, &source.special, &source.order, &source.ends, NULL}; *one; one++)
        PyBuffer_Release(*one);
    return made;
}

static PyMethodDef methods[] = {{"rows", rows, METH_VARARGS, rows_doc}, {0}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "dnsd.engine._rows", .m_doc = "Rows of names.", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__rows(void) { return PyModule_Create(&module); }

/* Read plain lines of master files: the loop of plain_lines.Lines, line for line the same.

   A line is an owner name, a head (TTL, class, type), data, and a comment. What a head and a comment mean is asked
   from Python, and kept in a small table. Data of the commonest types is read by plain_data.h; all other data, and all
   data that is not plain there, goes to Python, which decides. Reading stops in front of the first line that is not
   plain, and in front of directives after a record. A character beyond ASCII, which may stand in comments and in data for Python, is an octet from 128 on here. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "plain_data.h"
#include "../sources.h"

enum { MAX_LINE = 65536, MAX_ROWS = 16384, NONE = -1 }; /* NONE: no TTL, no size */
enum { MAX_TTL_S = 0x7fffffff };                         /* RFC 2181 §8 */
enum { FORMS = 64, MAX_KEY = 192, LEAST_ROOM = 64 };
enum { MOST_OCTETS = MAX_DATA + MAX_NAME + 1 }; /* of data that is read here */

/* The meaning of a head and a comment. */
typedef struct {
    unsigned char key[MAX_KEY]; /* the head and the comment */
    Py_ssize_t head_size, comment_size;
    long ttl_else, ttl_given; /* seconds, or NONE */
    long rtype;
    uint32_t traits;
    PyObject *identity, *parse; /* NULL: the entry is free */
} Form;

/* A column of octets, as in model/octet_column.py. MAX_ROWS items of at most 65,535 octets end below 2^32. */
typedef struct {
    unsigned char *octets;
    uint32_t *ends;
    Py_ssize_t size, room; /* octets */
} Items;

/* A part of a text that is being read. */
typedef struct {
    PyObject *text;
    Py_ssize_t start, end;   /* of the current line, its newline included */
    const unsigned char *at; /* its octets */
} Place;

/* All that the meaning of a line depends on, apart from its own text; and what was read. */
typedef struct {
    PyObject *origin, *owner; /* octets; `owner` is that of the record before the first one here, or None */
    long default_ttl, last_ttl;
    Py_ssize_t directives; /* lines before the first record here */
    Py_ssize_t soa;        /* the index of the first SOA, or NONE */
} State;

typedef struct {
    PyObject_HEAD
    PyObject *known;
    int is_busy;
    Form forms[FORMS + 1]; /* by hash of their text; the last one is not kept */
    unsigned char *narrow; /* a line of a text with wide characters */
    Items owners, rdatas;  /* of the records read now, as all that follows */
    uint32_t *traits;
    PyObject *identities; /* by index; NULL: none is written */
    Py_ssize_t count, room;
} Lines;

/* Make room for so many more octets of an item. 0, or -1 with an exception. */
static int make_room(Items *items, Py_ssize_t more) {
    if (items->room - items->size >= more) return 0;
    Py_ssize_t room = 2 * items->room + more;
    unsigned char *octets = PyMem_Realloc(items->octets, room);
    if (!octets) return PyErr_NoMemory(), -1;
    items->octets = octets, items->room = room;
    return 0;
}

/* Find the end and the octets of the line at `start`. 0 if it has no end, or is too long; -1 with an exception. */
static int next_line(Lines *self, Place *place, Py_ssize_t start) {
    Py_ssize_t left = PyUnicode_GET_LENGTH(place->text) - start, size = 0;
    int kind = PyUnicode_KIND(place->text);
    const void *data = PyUnicode_DATA(place->text);
    if (left > MAX_LINE) left = MAX_LINE;
    if (kind == PyUnicode_1BYTE_KIND) {
        place->at = (const unsigned char *)data + start;
        const unsigned char *end = left > 0 ? memchr(place->at, '\n', left) : NULL;
        if (!end) return 0;
        size = end - place->at + 1;
    } else {
        if (!self->narrow && !(self->narrow = PyMem_Malloc(MAX_LINE))) return PyErr_NoMemory(), -1;
        Py_UCS4 c = 0;
        while (size < left && c != '\n') {
            c = PyUnicode_READ(kind, data, start + size);
            self->narrow[size++] = c < 128 ? c : 128;
        }
        if (c != '\n') return 0;
        place->at = self->narrow;
    }
    place->start = start, place->end = start + size;
    return 1;
}

static PyObject *text_of(const Place *place, Span span) {
    return PyUnicode_Substring(place->text, place->start + (span.at - place->at), place->start + (span.end - place->at));
}

/* An object for seconds. */
static PyObject *ttl_object(long ttl) { return ttl == NONE ? Py_NewRef(Py_None) : PyLong_FromLong(ttl); }

/* The seconds of an object, or NONE. -2 with an exception. */
static long ttl_of(PyObject *object) {
    long ttl = object == Py_None ? NONE : PyLong_AsLong(object);
    if (object == Py_None || (ttl >= 0 && !PyErr_Occurred())) return ttl;
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "a TTL is negative");
    return -2;
}

static int has_own_tags(Span comment) { /* those of a single record */
    for (const unsigned char *at = comment.at; comment.end - at >= 5; at++)
        if (!memcmp(at, "dnsd-", 5)) return 1;
    return 0;
}

/* Ask Python for the meaning of a line's head and comment. 1; 0 if they are not plain; -1 with an exception. */
static int ask(Lines *self, const Place *place, const Line *line, Form *form) {
    PyObject *identity, *given, *rdatas, *parse, *old;
    PyObject *made = PyObject_CallMethod(self->known, "form", "NNN", text_of(place, line->head),
                                         text_of(place, line->comment), ttl_object(form->ttl_else));
    if (!made) return -1;
    if (made == Py_None) return Py_DECREF(made), 0;
    int is_right = PyTuple_Check(made) &&
                   PyArg_ParseTuple(made, "lIOOOO", &form->rtype, &form->traits, &given, &identity, &rdatas, &parse) &&
                   (form->ttl_given = ttl_of(given)) >= NONE;
    if (is_right) {
        old = form->identity, form->identity = Py_NewRef(identity), Py_XDECREF(old);
        old = form->parse, form->parse = Py_NewRef(parse), Py_XDECREF(old);
    } else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_TypeError, "a form is a tuple");
    }
    Py_DECREF(made);
    return is_right ? 1 : -1;
}

/* The meaning of a line's head and comment. NULL if they are not plain, or with an exception. */
static Form *form_of(Lines *self, const Place *place, const Line *line, long ttl_else) {
    Py_ssize_t head = size_of(line->head), comment = size_of(line->comment);
    int fits = line->is_ascii && head + comment <= MAX_KEY;
    uint64_t number = fits ? hash(line->head.at, head) + 31 * hash(line->comment.at, comment) : 0;
    Form *form = self->forms + (fits ? number % FORMS : FORMS);
    if (fits && form->parse && form->head_size == head && form->comment_size == comment &&
        (form->ttl_given != NONE || form->ttl_else == ttl_else) && !memcmp(form->key, line->head.at, head) &&
        !memcmp(form->key + head, line->comment.at, comment))
        return form;
    if (!fits || has_own_tags(line->comment)) form = self->forms + FORMS;
    form->head_size = NONE; /* until it is whole */
    form->ttl_else = ttl_else;
    if (ask(self, place, line, form) <= 0) return NULL;
    if (form == self->forms + FORMS) return form;
    memcpy(form->key, line->head.at, head);
    memcpy(form->key + head, line->comment.at, comment);
    form->head_size = head, form->comment_size = comment;
    return form;
}

/* Write the owner of a line, for which there is room. Its size; -1 if it is not plain. */
static Py_ssize_t write_owner(Items *owners, const Line *line, Span origin, Span last) {
    unsigned char *name = owners->octets + owners->size;
    if (!size_of(line->owner)) {
        if (!last.at) return -1;
        memcpy(name, last.at, size_of(last));
        return size_of(last);
    }
    Py_ssize_t size = write_name(name, line->owner, origin);
    make_lower(name, size);
    return size;
}

/* Write the data of a line, for which there is room. Its size; -1 if it is not plain, or with an exception. */
static Py_ssize_t write_rdata(Items *rdatas, const Place *place, const Line *line, const Form *form, Span origin) {
    Py_ssize_t size = write_data(rdatas->octets + rdatas->size, form->rtype, line->data, origin);
    if (size >= 0) return size;
    PyObject *text = text_of(place, line->data), *parse = Py_NewRef(form->parse);
    PyObject *made = text ? PyObject_CallOneArg(parse, text) : NULL;
    Py_XDECREF(text);
    Py_DECREF(parse);
    if (made && PyBytes_CheckExact(made) && PyBytes_GET_SIZE(made) <= UINT16_MAX) {
        size = PyBytes_GET_SIZE(made);
        if (make_room(rdatas, size) < 0) size = -1;
        else memcpy(rdatas->octets + rdatas->size, PyBytes_AS_STRING(made), size);
    } else if (made && made != Py_None) {
        PyErr_SetString(PyExc_TypeError, "data is octets, at most 65,535");
    }
    Py_XDECREF(made);
    return size;
}

/* Make room for one more record. 0, or -1 with an exception. */
static int add_room(Lines *self) {
    if (make_room(&self->owners, MAX_NAME) < 0 || make_room(&self->rdatas, MOST_OCTETS) < 0) return -1;
    if (self->count < self->room) return 0;
    Py_ssize_t room = self->room ? 4 * self->room : LEAST_ROOM;
    uint32_t **columns[] = {&self->traits, &self->owners.ends, &self->rdatas.ends};
    for (int i = 0; i < 3; i++) {
        uint32_t *numbers = PyMem_Realloc(*columns[i], room * sizeof *numbers);
        if (!numbers) return PyErr_NoMemory(), -1;
        *columns[i] = numbers;
    }
    self->room = room;
    return 0;
}

/* Keep the identity of the next record. 0, or -1 with an exception. */
static int add_identity(Lines *self, PyObject *identity) {
    if (identity == Py_None) return 0;
    if (!self->identities && !(self->identities = PyDict_New())) return -1;
    PyObject *index = PyLong_FromSsize_t(self->count);
    int failed = !index || PyDict_SetItem(self->identities, index, identity) < 0;
    Py_XDECREF(index);
    return failed ? -1 : 0;
}

static Span span_of(PyObject *octets) {
    const unsigned char *at = (unsigned char *)PyBytes_AS_STRING(octets);
    return (Span){at, at + PyBytes_GET_SIZE(octets)};
}

/* The owner of the last record read now, else of the one before these; NULL for none. */
static Span last_owner(const Lines *self, PyObject *before) {
    if (self->count) {
        uint32_t start = self->count > 1 ? self->owners.ends[self->count - 2] : 0;
        return (Span){self->owners.octets + start, self->owners.octets + self->owners.size};
    }
    return before == Py_None ? (Span){NULL, NULL} : span_of(before);
}

/* Carry out a directive that stands before all records. 1; 0 if it is not plain, or with an exception. */
static int read_directive(Lines *self, const Place *place, State *state) {
    Span argument;
    int which = self->count ? 0 : divide_directive(place->at, &argument);
    if (which == 'T') {
        int64_t ttl = parse_number(argument, MAX_TTL_S);
        if (ttl < 0) return 0;
        state->default_ttl = ttl;
    } else if (which == 'O') {
        unsigned char name[MAX_NAME];
        Py_ssize_t size = write_name(name, argument, span_of(state->origin));
        PyObject *made = size < 0 ? NULL : PyBytes_FromStringAndSize((char *)name, size);
        PyObject *done = made ? PyObject_CallMethod(self->known, "set_origin", "O", made) : NULL;
        Py_XDECREF(done);
        if (!done) return Py_XDECREF(made), 0;
        Py_SETREF(state->origin, made);
    }
    state->directives += !!which;
    return !!which;
}

/* Whether the origin stays as it is after an SOA with this owner. -1 with an exception. */
static int keeps_origin(const Lines *self, Span owner) {
    if (size_of(owner) == 1 && *owner.at == '@') return 1;
    PyObject *given = PyObject_GetAttrString(self->known, "origin_given");
    int found = given ? PyObject_IsTrue(given) : -1;
    Py_XDECREF(given);
    return found;
}

/* Read one line. 1; 0 if it is not plain, or with an exception. */
static int read_line(Lines *self, const Place *place, State *state) {
    Line line;
    Span origin = span_of(state->origin);
    Py_ssize_t name, rdata;
    if (!divide(place->at, &line) || add_room(self) < 0) return 0;
    Form *form = form_of(self, place, &line, state->default_ttl == NONE ? state->last_ttl : state->default_ttl);
    if (!form || (name = write_owner(&self->owners, &line, origin, last_owner(self, state->owner))) < 0) return 0;
    if (form->rtype == SOA && keeps_origin(self, line.owner) <= 0) return 0;
    if ((rdata = write_rdata(&self->rdatas, place, &line, form, origin)) < 0) return 0;
    if (add_identity(self, form->identity) < 0) return 0;
    self->owners.ends[self->count] = self->owners.size += name;
    self->rdatas.ends[self->count] = self->rdatas.size += rdata;
    if (form->rtype == SOA && state->soa == NONE) state->soa = self->count;
    self->traits[self->count++] = form->traits;
    if (form->ttl_given != NONE) state->last_ttl = form->ttl_given;
    return 1;
}

/* Read lines from `start` on. The end of the last one, or -1 with an exception. */
static Py_ssize_t read_lines(Lines *self, PyObject *text, Py_ssize_t start, State *state) {
    Place place = {.text = text};
    int found;
    self->count = self->owners.size = self->rdatas.size = 0;
    for (; self->count < MAX_ROWS; start = place.end) {
        if ((found = next_line(self, &place, start)) < 0) return -1;
        if (!found || !(*place.at == '$' ? read_directive : read_line)(self, &place, state)) break;
    }
    return PyErr_Occurred() ? -1 : start;
}

static PyObject *bytes_of(const void *octets, Py_ssize_t size) { return PyBytes_FromStringAndSize(size ? octets : "", size); }

/* The columns of the records read now. */
static PyObject *rows_read(Lines *self) {
    Py_ssize_t size = self->count * (Py_ssize_t)sizeof *self->traits;
    PyObject *identities = self->identities ? self->identities : PyDict_New();
    self->identities = NULL;
    return Py_BuildValue("(NNNNNN)", bytes_of(self->owners.octets, self->owners.size), bytes_of(self->owners.ends, size),
                         bytes_of(self->rdatas.octets, self->rdatas.size), bytes_of(self->rdatas.ends, size),
                         bytes_of(self->traits, size), identities);
}

PyDoc_STRVAR(read_doc, "read(text, start, owner, default_ttl, last_ttl): read plain lines from `start` on, some\n"
                       "thousand at most, and plain directives before them. Return the end of the last one, the new\n"
                       "`owner`, `default_ttl` and `last_ttl`, the number of directives, the index of the first SOA or\n"
                       "None, and the records: owners and data, each as octets and ends, the indexes of their traits,\n"
                       "4 octets each, and written identities by index.");
static PyObject *lines_read(Lines *self, PyObject *args) {
    PyObject *text, *given, *last, *made = NULL;
    State state = {.soa = NONE};
    Py_ssize_t start;
    if (!PyArg_ParseTuple(args, "UnOOO", &text, &start, &state.owner, &given, &last)) return NULL;
    state.default_ttl = ttl_of(given), state.last_ttl = state.default_ttl < NONE ? NONE : ttl_of(last);
    if (state.default_ttl < NONE || state.last_ttl < NONE) return NULL;
    if (self->is_busy || !self->known || start < 0 ||
        (state.owner != Py_None && (!PyBytes_CheckExact(state.owner) || PyBytes_GET_SIZE(state.owner) > MAX_NAME)))
        return PyErr_SetString(PyExc_ValueError, "lines cannot be read now, or not with these arguments"), NULL;
    if (!(state.origin = PyObject_GetAttrString(self->known, "origin"))) return NULL;
    self->is_busy = 1;
    if (!PyBytes_CheckExact(state.origin)) PyErr_SetString(PyExc_TypeError, "an origin is octets");
    else if ((start = read_lines(self, text, start, &state)) >= 0) {
        Span name = last_owner(self, state.owner);
        PyObject *owner = self->count ? bytes_of(name.at, size_of(name)) : Py_NewRef(state.owner);
        PyObject *soa = state.soa == NONE ? Py_NewRef(Py_None) : PyLong_FromSsize_t(state.soa);
        made = Py_BuildValue("(nNNNnNN)", start, owner, ttl_object(state.default_ttl), ttl_object(state.last_ttl),
                             state.directives, soa, rows_read(self));
    }
    Py_CLEAR(self->identities);
    self->is_busy = 0;
    Py_DECREF(state.origin);
    return made;
}

static int lines_traverse(Lines *self, visitproc visit, void *arg) {
    Py_VISIT(self->known);
    Py_VISIT(self->identities);
    for (Form *form = self->forms; form <= self->forms + FORMS; form++) {
        Py_VISIT(form->identity);
        Py_VISIT(form->parse);
    }
    return 0;
}

static int lines_clear(Lines *self) {
    Py_CLEAR(self->known);
    Py_CLEAR(self->identities);
    for (Form *form = self->forms; form <= self->forms + FORMS; form++) {
        Py_CLEAR(form->identity);
        Py_CLEAR(form->parse);
    }
    return 0;
}

static void lines_dealloc(Lines *self) {
    PyObject_GC_UnTrack(self);
    lines_clear(self);
    PyMem_Free(self->owners.octets);
    PyMem_Free(self->owners.ends);
    PyMem_Free(self->rdatas.octets);
    PyMem_Free(self->rdatas.ends);
    PyMem_Free(self->traits);
    PyMem_Free(self->narrow);
    Py_TYPE(self)->tp_free(self);
}

/* `known`: a KnownParts. Once only, as reading may be going on. */
static PyObject *lines_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *words[] = {"known", NULL};
    PyObject *known;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O", words, &known)) return NULL;
    Lines *self = (Lines *)type->tp_alloc(type, 0);
    if (self) self->known = Py_NewRef(known);
    return (PyObject *)self;
}

static PyMethodDef lines_methods[] = {{"read", (PyCFunction)lines_read, METH_VARARGS, read_doc}, {0}};

PyDoc_STRVAR(lines_doc, "Lines(known): reads plain lines into columns of records.");

static PyTypeObject LinesType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "dnsd.formats._lines.Lines",
    .tp_basicsize = sizeof(Lines),
    .tp_doc = lines_doc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = lines_new,
    .tp_dealloc = (destructor)lines_dealloc,
    .tp_traverse = (traverseproc)lines_traverse,
    .tp_clear = (inquiry)lines_clear,
    .tp_methods = lines_methods,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "dnsd.formats._lines", .m_doc = "Plain lines of master files.", .m_size = -1,
};

PyMODINIT_FUNC PyInit__lines(void) {
    PyObject *made;
    prepare_tables();
    if (PyType_Ready(&LinesType) < 0) return NULL;
    if (!(made = PyModule_Create(&module))) return NULL;
    if (PyModule_AddObjectRef(made, "Lines", (PyObject *)&LinesType) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}

/* Read the plainest items of a YAML zone's `records`: each on one line, and in ASCII.

       - {name: www, type: A, content: 192.0.2.1, ttl: 300}

   An item is a name, the text before the content, the content, and the text after it. What the two texts mean is asked
   from Python, and kept in a small table. Names, addresses and hosts without quotes are read here; other contents go to
   Python. Reading stops in front of the first item that has another form: plain_items.py reads more of them. What is
   read here has the same meaning there. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "plain_data.h"
#include "../sources.h"

enum { MAX_LINE = 1024, MAX_ROWS = 4096, FORMS = 16, MAX_KEY = 192 };

typedef struct {
    Span name, before, content, after; /* `before` ends with `content: `, `after` with the line */
} Item;

/* The meaning of the texts before and after a content. */
typedef struct {
    unsigned char key[MAX_KEY]; /* both */
    Py_ssize_t before_size, after_size;
    long rtype;
    uint32_t traits;
    PyObject *parse; /* NULL: the entry is free */
} Form;

typedef struct {
    PyObject *plain, *owners, *rdatas, *identities;
    Span zone, zone_text;
    Form forms[FORMS]; /* by hash of their texts */
    uint32_t traits[MAX_ROWS];
    Py_ssize_t count;
    unsigned char line[MAX_LINE];
} Reading;

/* Find a line, as octets. NULL if it has characters beyond ASCII, or is too long. */
static const unsigned char *line_at(Reading *self, PyObject *text, Py_ssize_t start, Py_ssize_t end, Py_ssize_t *size) {
    const unsigned char *octets = self->line;
    Py_ssize_t at = 0, most = end - start < MAX_LINE ? end - start : MAX_LINE;
    int kind = PyUnicode_KIND(text), is_ascii = 1;
    if (kind == PyUnicode_1BYTE_KIND) {
        octets = PyUnicode_1BYTE_DATA(text) + start;
        while (at < most && octets[at] != '\n') is_ascii &= octets[at++] < 128;
    } else {
        Py_UCS4 c;
        for (; at < most && (c = PyUnicode_READ(kind, PyUnicode_DATA(text), start + at)) != '\n'; at++)
            is_ascii &= c < 128, self->line[at] = c;
        if (at < most) self->line[at] = '\n';
    }
    *size = at + 1;
    return is_ascii && at < most ? octets : NULL;
}

static int is_word(unsigned char c) { return is[c] & (DIGIT | LETTER) || c == '_'; }

static int is_null(const unsigned char *at) { /* as plain_items.BARE has it; a line ends with a newline */
    if (*at != 'n' && *at != 'N') return 0;
    return (at[1] == 'u' && at[2] == 'l' && at[3] == 'l') || (at[1] == 'U' && at[2] == 'L' && at[3] == 'L');
}

static int begins(const unsigned char *at, const unsigned char *end, const char *text) {
    Py_ssize_t size = strlen(text);
    return end - at > size && !memcmp(at, text, size);
}

/* Divide a line, which ends with a newline. 0 if it has another form. */
static int divide_item(const unsigned char *at, const unsigned char *end, Py_ssize_t column, Item *item) {
    for (; column; column--)
        if (*at++ != ' ') return 0;
    if (!begins(at, end, "- {name: ")) return 0;
    item->name.at = at += strlen("- {name: ");
    if (!is_word(*at) || is_null(at)) return 0;
    item->name.end = item->before.at = at = skip(at, NAME);
    if (!begins(at, end, ", type: ")) return 0;
    for (at++; !begins(at, end, ", content: "); at++)
        if (at == end) return 0;
    item->before.end = item->content.at = at += strlen(", content: ");
    if (!(is_word(*at) || *at == '.' || *at == '/') || is_null(at)) return 0;
    while (is_word(*at) || *at == '.' || *at == '/' || *at == '-' ||
           (*at == ':' && (is_word(at[1]) || at[1] == '.' || at[1] == ':')))
        at++;
    item->content.end = item->after.at = at;
    item->after.end = end;
    return *at == ',' || *at == '}';
}

static PyObject *string_of(Span span) { return PyUnicode_FromStringAndSize((const char *)span.at, size_of(span)); }

/* Take apart a tuple from Python. 0 with an exception. */
static int unpacked(PyObject *made, const char *format, ...) {
    va_list targets;
    if (!PyTuple_Check(made)) return PyErr_SetString(PyExc_TypeError, "the meaning of an item is a tuple"), 0;
    va_start(targets, format);
    int is_right = PyArg_VaParse(made, format, targets);
    va_end(targets);
    return is_right;
}

/* Ask Python for the meaning of the texts around a content. 1; 0 if the item is not plain; -1 with an exception. */
static int ask(const Reading *self, Span line, const Item *item, Form *form) {
    PyObject *parse, *made = PyObject_CallMethod(self->plain, "alike", "NNN", string_of(line), string_of(item->before),
                                                 string_of(item->after));
    int is_plain = made && made != Py_None, is_right = made != NULL;
    if (is_plain && (is_right = unpacked(made, "lIO", &form->rtype, &form->traits, &parse)))
        Py_XSETREF(form->parse, Py_NewRef(parse));
    Py_XDECREF(made);
    return is_right ? is_plain : -1;
}

/* The meaning of the texts around a content. NULL if they are not plain, or with an exception. */
static Form *form_of(Reading *self, Span line, const Item *item) {
    Py_ssize_t before = size_of(item->before), after = size_of(item->after);
    if (before + after > MAX_KEY) return NULL;
    Form *form = self->forms + (hash(item->before.at, before) + 31 * hash(item->after.at, after)) % FORMS;
    if (form->parse && form->before_size == before && form->after_size == after &&
        !memcmp(form->key, item->before.at, before) && !memcmp(form->key + before, item->after.at, after))
        return form;
    form->before_size = -1; /* until it is whole */
    if (ask(self, line, item, form) <= 0) return NULL;
    memcpy(form->key, item->before.at, before);
    memcpy(form->key + before, item->after.at, after);
    form->before_size = before, form->after_size = after;
    return form;
}

/* Write the owner of an item. Its size, or -1 if Python has to decide: the name may be a full one. */
static Py_ssize_t write_owner(unsigned char *out, Span name, Span zone, Span zone_text) {
    Py_ssize_t excess = size_of(name) - size_of(zone_text), i = 0;
    if (name.end[-1] == '.') return -1;
    while (excess >= 0 && i < size_of(zone_text)) {
        unsigned char c = name.at[excess + i];
        if ((is[c] & UPPER ? c | 32 : c) != zone_text.at[i]) break;
        i++;
    }
    if (i == size_of(zone_text)) return -1;
    Py_ssize_t size = write_name(out, name, zone);
    if (size > 0) make_lower(out, size);
    return size;
}

static int keep(Reading *self, PyObject *identity) {
    PyObject *index = PyLong_FromSsize_t(PyList_GET_SIZE(self->owners));
    int kept = index && PyDict_SetItem(self->identities, index, identity) >= 0;
    Py_XDECREF(index);
    return kept;
}

/* The data of an item, of which an identity is kept. NULL if it is not plain, or with an exception. */
static PyObject *data_of(Reading *self, const Item *item, const Form *form, const unsigned char *owner, Py_ssize_t size) {
    static const unsigned char root[1];
    unsigned char data[MAX_NAME + 1];
    int is_host = form->rtype == CNAME || form->rtype == NS || form->rtype == PTR || form->rtype == DNAME;
    if (is_host || form->rtype == A || form->rtype == AAAA) {
        Py_ssize_t found = write_data(data, form->rtype, item->content, (Span){root, root + 1});
        if (found < 0) return NULL;
        PyObject *rdata = PyBytes_FromStringAndSize((const char *)data, found);
        make_lower(data, is_host ? found : 0);
        if (form->rtype == CNAME && found == size && !memcmp(data, owner, size)) Py_CLEAR(rdata);
        return rdata;
    }
    PyObject *text = string_of(item->content), *parse = Py_NewRef(form->parse), *rdata = NULL, *identity;
    PyObject *made = text ? PyObject_CallOneArg(parse, text) : NULL;
    Py_XDECREF(text);
    Py_DECREF(parse);
    if (made && made != Py_None && unpacked(made, "SO", &rdata, &identity)) {
        Py_INCREF(rdata);
        if (identity != Py_None && !keep(self, identity)) Py_CLEAR(rdata);
    }
    Py_XDECREF(made);
    return rdata;
}

/* Read one item. 1; 0 if it is not plain, or with an exception. */
static int read_item(Reading *self, Span line, Py_ssize_t column) {
    unsigned char name[MAX_NAME + 1];
    Item item;
    if (!divide_item(line.at, line.end, column, &item)) return 0;
    Py_ssize_t size = write_owner(name, item.name, self->zone, self->zone_text);
    Form *form = size > 0 ? form_of(self, line, &item) : NULL;
    PyObject *rdata = form ? data_of(self, &item, form, name, size) : NULL, *owner = NULL;
    uint32_t traits = form ? form->traits : 0;
    int is_read = rdata && (owner = PyBytes_FromStringAndSize((const char *)name, size)) &&
                  PyList_Append(self->owners, owner) >= 0 && PyList_Append(self->rdatas, rdata) >= 0;
    if (is_read) self->traits[self->count++] = traits;
    Py_XDECREF(owner);
    Py_XDECREF(rdata);
    return is_read;
}

PyDoc_STRVAR(read_doc, "read(plain, owners, rdatas, identities, text, start, end, column, zone_name, zone_text): read items\n"
                       "between two offsets into columns of records, some thousand at most. Return the end of the last\n"
                       "one, and the indexes of the records' traits, 4 octets each. `plain` is a PlainItems.");
static PyObject *items_read(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *text, *made = NULL;
    Py_ssize_t start, end, column, zone_size, text_size, size;
    const char *zone, *zone_text;
    Reading *self = PyMem_Calloc(1, sizeof *self);
    if (!self) return PyErr_NoMemory();
    if (!PyArg_ParseTuple(args, "OO!O!O!Unnny#s#", &self->plain, &PyList_Type, &self->owners, &PyList_Type, &self->rdatas,
                          &PyDict_Type, &self->identities, &text, &start, &end, &column, &zone, &zone_size, &zone_text,
                          &text_size))
        goto done;
    if (start < 0 || column < 0 || zone_size > MAX_NAME) {
        PyErr_SetString(PyExc_ValueError, "items cannot be read with these arguments");
        goto done;
    }
    if (end > PyUnicode_GET_LENGTH(text)) end = PyUnicode_GET_LENGTH(text);
    self->zone = (Span){(unsigned char *)zone, (unsigned char *)zone + zone_size};
    self->zone_text = (Span){(unsigned char *)zone_text, (unsigned char *)zone_text + text_size};
    for (; self->count < MAX_ROWS; start += size) {
        const unsigned char *line = line_at(self, text, start, end, &size);
        if (!line || size <= column || !read_item(self, (Span){line, line + size}, column)) break;
    }
    if (!PyErr_Occurred()) made = Py_BuildValue("ny#", start, (char *)self->traits, self->count * sizeof *self->traits);
done:
    for (Form *form = self->forms; form < self->forms + FORMS; form++) Py_CLEAR(form->parse);
    PyMem_Free(self);
    return made;
}

static PyMethodDef methods[] = {{"read", items_read, METH_VARARGS, read_doc}, {0}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "dnsd.formats._items", .m_doc = "Plain items of YAML zones.", .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__items(void) {
    prepare_tables();
    return PyModule_Create(&module);
}

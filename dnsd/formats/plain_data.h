/* The parts of a plain line of a master file, and the wire form of plain data of the commonest types.

   What is read here has the same meaning in plain_lines.py and plain_data.py; these read more. */

#include <stdint.h>
#include <string.h>

enum { MAX_NAME = 255, MAX_LABEL = 63, MAX_DATA = 10000 };
enum { A = 1, NS = 2, CNAME = 5, SOA = 6, PTR = 12, MX = 15, TXT = 16, AAAA = 28, SRV = 33, DNAME = 39, DS = 43, TLSA = 52 };

typedef struct {
    const unsigned char *at, *end;
} Span;

typedef struct {
    Span owner, head, data, comment; /* `comment` follows `data`, with the blanks before it */
    int is_ascii;                    /* the comment; the rest is */
} Line;

/* What characters may be part of. */
enum { NAME = 1, DIGIT = 2, LETTER = 4, BLANK = 8, WORD = 16, TEXT = 32, UPPER = 64 };
static unsigned char is[256];
static signed char hex_digit[256];

static void prepare_tables(void) {
    for (int c = 0; c < 256; c++) {
        int digit = c >= '0' && c <= '9', upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';
        is[c] = (digit || upper || lower || c == '-' || c == '_' || c == '*' || c == '.' ? NAME : 0) |
                (digit ? DIGIT : 0) | (upper ? LETTER | UPPER : 0) | (lower ? LETTER : 0) | (c == ' ' || c == '\t' ? BLANK : 0) |
                (strchr(" \t\n\"()\\;", c) && c ? 0 : WORD) | (c >= ' ' && c <= '~' && c != '"' && c != '\\' ? TEXT : 0);
        hex_digit[c] = digit ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    }
}

/* A number for octets, for tables in which a collision costs little. */
static inline uint64_t hash(const unsigned char *at, Py_ssize_t size) {
    uint64_t made = 0xcbf29ce484222325u ^ size;
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t eight;
        memcpy(&eight, at, 8);
        made = (made ^ eight) * 0x9e3779b97f4a7c15u;
        made ^= made >> 29;
    }
    while (size--) made = (made ^ *at++) * 0x100000001b3u;
    return made ^ made >> 32;
}

static inline const unsigned char *skip(const unsigned char *at, int what) {
    while (is[*at] & what) at++; /* a line ends with a newline, which is part of nothing */
    return at;
}

static inline Py_ssize_t size_of(Span span) { return span.end - span.at; }

/* Divide a line, which ends with a newline, like plain_lines.LINE. 0 if it has another form. */
static inline int divide(const unsigned char *at, Line *line) {
    line->owner.at = at;
    at = *at == '@' ? at + 1 : skip(at, NAME);
    line->owner.end = line->head.at = at;
    if (!(is[*at] & BLANK)) return 0;
    at = skip(at, BLANK);
    for (int i = 0; i < 2; i++) { /* a TTL and a class */
        const unsigned char *word = skip(at, DIGIT);
        if (word == at && (at[0] | 32) == 'i' && (at[1] | 32) == 'n') word = at + 2;
        if (word == at || !(is[*word] & BLANK)) break;
        at = skip(word, BLANK);
    }
    if (!(is[*at] & LETTER)) return 0;
    at = skip(at, LETTER | DIGIT);
    if (!(is[*at] & BLANK)) return 0;
    line->head.end = line->data.at = line->data.end = at = skip(at, BLANK);
    for (;; at = skip(at, BLANK)) {
        const unsigned char *word = at;
        while (is[*at] & WORD || *at == '"') {
            if (*at++ != '"') continue;
            while (*at != '"' && *at != '\\' && *at != '\n') at++;
            if (*at++ != '"') return 0;
        }
        if (at == word) break;
        line->data.end = at;
        if (!(is[*at] & BLANK)) break;
    }
    if (line->data.end == line->data.at || (*at != ';' && *at != '\n')) return 0;
    line->comment.at = line->data.end;
    line->is_ascii = 1;
    for (; *at != '\n'; at++) line->is_ascii &= *at < 128;
    line->comment.end = at;
    return 1;
}

/* Find the argument of a plain directive, like plain_lines.DIRECTIVE: `T` for $TTL, `O` for $ORIGIN. 0 for other lines. */
static inline int divide_directive(const unsigned char *at, Span *argument) {
    int which = !strncmp((const char *)at, "$TTL", 4) ? 'T' : !strncmp((const char *)at, "$ORIGIN", 7) ? 'O' : 0;
    if (!which) return 0;
    at += which == 'T' ? 4 : 7;
    argument->at = skip(at, BLANK);
    argument->end = skip(argument->at, which == 'T' ? DIGIT : NAME);
    if (argument->at == at || argument->at == argument->end) return 0;
    at = skip(argument->end, BLANK);
    return *at == '\n' || *at == ';' ? which : 0;
}

/* Read a number of at most ten digits, and no more than `most`. -1 if the text is another one. */
static int64_t parse_number(Span text, int64_t most) {
    int64_t value = 0;
    if (!size_of(text) || size_of(text) > 10) return -1;
    for (const unsigned char *at = text.at; at < text.end; at++) {
        if (!(is[*at] & DIGIT)) return -1;
        value = 10 * value + *at - '0';
    }
    return value > most ? -1 : value;
}

/* Write the wire form of a plain name, as it is. Its size, or -1. */
static Py_ssize_t write_name(unsigned char *out, Span text, Span origin) {
    Py_ssize_t size = 0;
    const unsigned char *at = text.at;
    if (size_of(text) == 1 && *at == '.') return out[0] = 0, 1;
    while (at < text.end && *at != '@') {
        const unsigned char *label = at;
        while (at < text.end && is[*at] & NAME && *at != '.') at++;
        Py_ssize_t length = at - label;
        if (!length || length > MAX_LABEL || size + 1 + length >= MAX_NAME) return -1;
        out[size] = length;
        memcpy(out + size + 1, label, length);
        size += 1 + length;
        if (at == text.end) break;
        if (*at++ != '.') return -1;
        if (at == text.end) return out[size] = 0, size + 1;
    }
    if (at < text.end && size_of(text) != 1) return -1; /* `@` alone is the origin */
    if (size + size_of(origin) > MAX_NAME) return -1;
    memcpy(out + size, origin.at, size_of(origin));
    return size + size_of(origin);
}

static void make_lower(unsigned char *name, Py_ssize_t size) {
    for (Py_ssize_t i = 0; i < size; i++) name[i] |= (unsigned char)(name[i] - 'A') < 26 ? 32 : 0; /* lengths are below */
}

static Py_ssize_t write_ipv4(unsigned char *out, Span text) {
    const unsigned char *at = text.at;
    for (int i = 0; i < 4; i++) {
        int value = 0;
        const unsigned char *first = at;
        while (at < text.end && is[*at] & DIGIT && at - first < 3) value = 10 * value + *at++ - '0';
        if (at == first || value > 255 || (*first == '0' && at - first > 1)) return -1;
        if (i < 3 ? at == text.end || *at++ != '.' : at != text.end) return -1;
        out[i] = value;
    }
    return 4;
}

static Py_ssize_t write_ipv6(unsigned char *out, Span text) {
    const unsigned char *at = text.at;
    int count = 0, gap = -1;
    if (text.end - at >= 2 && at[0] == ':' && at[1] == ':') gap = 0, at += 2;
    while (at < text.end) {
        int value = 0;
        const unsigned char *first = at;
        while (at < text.end && hex_digit[*at] >= 0 && at - first < 4) value = 16 * value + hex_digit[*at++];
        if (at == first || count == 8) return -1;
        out[2 * count] = value >> 8;
        out[2 * count++ + 1] = value;
        if (at == text.end) break;
        if (*at++ != ':' || at == text.end) return -1;
        if (*at != ':') continue;
        if (gap >= 0) return -1;
        gap = count, at++;
    }
    if (gap < 0) return count == 8 ? 16 : -1;
    if (count == 8) return -1;
    memmove(out + 16 - 2 * (count - gap), out + 2 * gap, 2 * (count - gap));
    memset(out + 2 * gap, 0, 2 * (8 - count));
    return 16;
}

static Py_ssize_t write_hex(unsigned char *out, Span text) {
    unsigned char *first = out;
    for (const unsigned char *at = text.at; at < text.end;) {
        if (text.end - at < 2 || hex_digit[at[0]] < 0 || hex_digit[at[1]] < 0) return -1;
        *out++ = hex_digit[at[0]] << 4 | hex_digit[at[1]];
        at = skip(at + 2, BLANK);
    }
    return out - first;
}

static Py_ssize_t write_texts(unsigned char *out, Span text) {
    unsigned char *first = out;
    for (const unsigned char *at = text.at; at < text.end; at = skip(at, BLANK)) {
        int is_quoted = *at == '"';
        const unsigned char *start = at += is_quoted;
        while (is[*at] & TEXT && (is_quoted || is[*at] & WORD)) at++;
        if (at - start > 255 || (is_quoted ? *at != '"' : at == start)) return -1;
        *out++ = at - start;
        memcpy(out, start, at - start);
        out += at - start;
        at += is_quoted;
        if (at < text.end && !(is[*at] & BLANK)) return -1;
    }
    return out - first;
}

/* Write numbers of 1 or 2 octets, each followed by blanks; `text` is the rest then. Their size, or -1. */
static Py_ssize_t write_numbers(unsigned char *out, const char *sizes, Span *text) {
    unsigned char *first = out;
    for (; *sizes; sizes++) {
        const unsigned char *digit = text->at;
        long value = 0;
        while (is[*digit] & DIGIT && digit - text->at < 5) value = 10 * value + *digit++ - '0';
        if (digit == text->at || digit >= text->end || !(is[*digit] & BLANK) || value >= (*sizes == '1' ? 1 << 8 : 1 << 16)) return -1;
        if (*sizes == '2') *out++ = value >> 8;
        *out++ = value;
        text->at = skip(digit, BLANK);
    }
    return out - first;
}

/* Write the two names and five numbers of an SOA. Their size, or -1. */
static Py_ssize_t write_soa(unsigned char *out, Span text, Span origin) {
    unsigned char *first = out;
    for (int i = 0; i < 7; i++) {
        Span word = {text.at, text.at};
        while (word.end < text.end && !(is[*word.end] & BLANK)) word.end++;
        text.at = word.end < text.end ? skip(word.end, BLANK) : text.end;
        int64_t value = i < 2 ? write_name(out, word, origin) : parse_number(word, UINT32_MAX);
        if (value < 0 || !size_of(word)) return -1;
        if (i < 2) out += value;
        else for (int shift = 24; shift >= 0; shift -= 8) *out++ = value >> shift;
    }
    return text.at == text.end ? out - first : -1;
}

/* Write the wire form of data. Its size, or -1 if Python has to decide. */
static Py_ssize_t write_data(unsigned char *out, long rtype, Span text, Span origin) {
    static const unsigned char digests[] = {0, 20, 32, 0, 48}; /* octets, by the type of a DS */
    Py_ssize_t head = 0, tail;
    if (size_of(text) > MAX_DATA) return -1;
    switch (rtype) {
        case A: return write_ipv4(out, text);
        case AAAA: return write_ipv6(out, text);
        case TXT: return write_texts(out, text);
        case SOA: return write_soa(out, text, origin);
        case NS: case CNAME: case PTR: case DNAME: return write_name(out, text, origin);
        case MX: head = write_numbers(out, "2", &text); break;
        case SRV: head = write_numbers(out, "222", &text); break;
        case DS: head = write_numbers(out, "211", &text); break;
        case TLSA: head = write_numbers(out, "111", &text); break;
        default: return -1;
    }
    if (head < 0) return -1;
    tail = rtype == MX || rtype == SRV ? write_name(out + head, text, origin) : write_hex(out + head, text);
    if (rtype == DS && (out[3] >= sizeof digests || tail != digests[out[3]])) return -1;
    return tail <= 0 ? -1 : head + tail;
}

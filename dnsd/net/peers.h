/* Source addresses of datagrams: conversion to Python, and a cache of whether they are rate-limited. */

#ifndef DNSD_PEERS_H
#define DNSD_PEERS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { PEERS = 256 }; /* cached addresses; a power of two, at most 256 (see is_limited) */

typedef struct {
    unsigned char address[16]; /* all of an IPv6 address, or the first 4 octets of an IPv4 one */
    sa_family_t family;        /* 0: empty */
    int is_limited;
} Peer;

typedef struct {
    Peer known[PEERS];
} Peers;

static PyObject *packed_peer(const struct sockaddr_storage *peer) {
    if (peer->ss_family == AF_INET)
        return PyBytes_FromStringAndSize((const char *)&((const struct sockaddr_in *)peer)->sin_addr, 4);
    return PyBytes_FromStringAndSize((const char *)&((const struct sockaddr_in6 *)peer)->sin6_addr, 16);
}

static PyObject *peer_text(const struct sockaddr_storage *peer) {
    char text[INET6_ADDRSTRLEN] = "";
    if (peer->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)peer)->sin_addr, text, sizeof text);
    else
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)peer)->sin6_addr, text, sizeof text);
    return PyUnicode_FromString(text);
}

/* Call a Python predicate with a peer and, unless NULL, a kind. Return 1 or 0; -1 with an exception. */
static int ask_about(PyObject *function, const struct sockaddr_storage *peer, PyObject *kind) {
    PyObject *ip = packed_peer(peer), *verdict;
    int result;
    if (!ip) return -1;
    verdict = PyObject_CallFunctionObjArgs(function, ip, kind, NULL);
    Py_DECREF(ip);
    if (!verdict) return -1;
    result = PyObject_IsTrue(verdict);
    Py_DECREF(verdict);
    return result;
}

/* Whether responses to a peer are limited at all: the result of `limits`, cached. -1 with an exception. */
static int is_limited(Peers *peers, PyObject *limits, const struct sockaddr_storage *peer) {
    Peer key = {.family = peer->ss_family};
    uint32_t words[4], mixed = 0;
    if (peer->ss_family == AF_INET) memcpy(key.address, &((const struct sockaddr_in *)peer)->sin_addr, 4);
    else memcpy(key.address, &((const struct sockaddr_in6 *)peer)->sin6_addr, 16);
    memcpy(words, key.address, sizeof words);
    for (int i = 0; i < 4; i++) mixed = (mixed ^ words[i]) * 0x9E3779B1u; /* Knuth, 6.4: multiplicative hashing */
    Peer *place = &peers->known[mixed >> 24 & (PEERS - 1)];
    if (place->family == key.family && !memcmp(place->address, key.address, sizeof key.address))
        return place->is_limited;
    key.is_limited = ask_about(limits, peer, NULL);
    if (key.is_limited >= 0) *place = key;
    return key.is_limited;
}

#endif

/* SipHash-1-3 (Aumasson, Bernstein: SipHash, 2012): a hash with a secret, so that attackers cannot choose
   collisions. */

#ifndef DNSD_SIPHASH_H
#define DNSD_SIPHASH_H

#include <stdint.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "octets are read as little-endian numbers"
#endif

#define ROTATED(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))
#define ROUND(v)                                                                 \
    do {                                                                         \
        v[0] += v[1], v[1] = ROTATED(v[1], 13) ^ v[0], v[0] = ROTATED(v[0], 32); \
        v[2] += v[3], v[3] = ROTATED(v[3], 16) ^ v[2];                           \
        v[0] += v[3], v[3] = ROTATED(v[3], 21) ^ v[0];                           \
        v[2] += v[1], v[1] = ROTATED(v[1], 17) ^ v[2], v[2] = ROTATED(v[2], 32); \
    } while (0)

static inline uint64_t siphash(const uint64_t key[2], const unsigned char *octets, size_t size) {
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
                     key[1] ^ 0x7465646279746573};
    uint64_t last = (uint64_t)size << 56, word;
    for (; size >= 8; octets += 8, size -= 8) {
        memcpy(&word, octets, 8);
        v[3] ^= word;
        ROUND(v);
        v[0] ^= word;
    }
    word = 0;
    memcpy(&word, octets, size);
    last |= word;
    v[3] ^= last;
    ROUND(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    ROUND(v);
    ROUND(v);
    ROUND(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif

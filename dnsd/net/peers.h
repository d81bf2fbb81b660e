/* Source addresses of datagrams, packed: 4 octets of an IPv4 address, also if mapped into IPv6, else 16. */

#ifndef DNSD_PEERS_H
#define DNSD_PEERS_H

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { IPV4_SIZE = 4, IPV6_SIZE = 16, MAPPED_SIZE = 12 };

static const unsigned char mapped[MAPPED_SIZE] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291, 2.5.5.2 */

/* The address of a peer, and its size in octets. */
static inline const unsigned char *packed_peer(const struct sockaddr_storage *peer, int *size) {
    const unsigned char *ip = (const unsigned char *)&((const struct sockaddr_in6 *)peer)->sin6_addr;
    *size = IPV4_SIZE;
    if (peer->ss_family == AF_INET) return (const unsigned char *)&((const struct sockaddr_in *)peer)->sin_addr;
    if (!memcmp(ip, mapped, MAPPED_SIZE)) return ip + MAPPED_SIZE;
    *size = IPV6_SIZE;
    return ip;
}

#endif

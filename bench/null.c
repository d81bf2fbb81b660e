/* The lower limit: the cost of a UDP responder that does nothing beyond the system calls.

       null PORT

   Receives up to 64 datagrams on 127.0.0.1 with one call, sets QR and AA, sets ANCOUNT to 2, appends two A records to
   each, and sends all back with one call. It reads no name; after an OPT record the answers are in the wrong place,
   which costs the same.
*/

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { TURN = 64, SIZE = 1500, HEADER = 12, BUFFER = 4 * 1024 * 1024 };

static const unsigned char ANSWERS[] = {
    0xC0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 203, 0, 113, 10, 0xC0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 203, 0, 113, 11,
};

int main(int argc, char **argv) {
    static unsigned char areas[TURN][SIZE + sizeof ANSWERS];
    static struct mmsghdr messages[TURN];
    static struct iovec vectors[TURN];
    static struct sockaddr_in peers[TURN];
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = BUFFER;
    if (argc != 2) return fprintf(stderr, "usage: null PORT\n"), 2;
    own.sin_port = htons(atoi(argv[1]));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&own, sizeof own) < 0) return perror("bind"), 1;
    for (int i = 0; i < TURN; i++) {
        vectors[i].iov_base = areas[i];
        messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    for (;;) {
        for (int i = 0; i < TURN; i++) {
            vectors[i].iov_len = SIZE;
            messages[i].msg_hdr.msg_namelen = sizeof peers[i];
        }
        int received = recvmmsg(fd, messages, TURN, MSG_WAITFORONE, NULL), at = 0;
        for (int i = 0; i < received; i++) {
            unsigned char *message = areas[i];
            size_t length = messages[i].msg_len;
            if (length < HEADER) length = HEADER;
            message[2] |= 0x84;
            message[7] = 2;
            memcpy(message + length, ANSWERS, sizeof ANSWERS);
            vectors[i].iov_len = length + sizeof ANSWERS;
        }
        while (at < received) {
            int sent = sendmmsg(fd, messages + at, received - at, 0);
            at += sent > 0 ? sent : 1;
        }
    }
}

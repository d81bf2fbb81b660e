/* Load for a DNS server: prepared queries in batches, with a limit on outstanding ones.

       load [-t] [-s SOCKETS] [-w WINDOW] [-n QUERIES] [-m QUERIES] PORT FILE SECONDS

   FILE holds at least 64 queries, each after two octets of length; they are sent to 127.0.0.1 in turn, each time with a
   new id. At most WINDOW are outstanding on each socket, so that no buffer overflows and only the server loses queries.
   It never sleeps, so it needs its own core. -t: over TCP, pipelined; after QUERIES a connection is closed and a new one
   opened. -m: at most so many queries in all. Prints a JSON object.
*/

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    TURN = 64,              /* datagrams per call */
    SIZE = 4096,            /* octets read of a reply */
    MAX_SOCKETS = 256,
    SLOT_BITS = 10,         /* the low bits of an id are the query's slot on its socket, the others are random */
    MAX_WINDOW = 1 << SLOT_BITS,
    STREAM = 128 * 1024,    /* octets of a connection's buffers */
    BUFFER = 4 * 1024 * 1024,
    BUCKETS = 64 * 16,      /* of latencies: sixteen for each power of two */
    HEADER = 12
};

static const uint64_t LOST_NS = 1000000000, CHECK_NS = 10000000;

typedef struct {
    uint64_t sent;          /* time in nanoseconds; 0: no query outstanding */
    uint16_t id;
} Slot;

typedef struct {
    int fd, free_count;
    uint16_t free[MAX_WINDOW];
    Slot slots[MAX_WINDOW];
    /* of a connection */
    int asked, to_send, sent, received;
    unsigned char out[STREAM], in[STREAM];
} Client;

static struct {
    unsigned long long sent, answered, lost, late, closed, truncated, rcodes[16], latencies[BUCKETS];
} total;

static unsigned char **queries;
static size_t query_count, next_query;
static int window = 24, port, by_stream, per_connection = 1000;
static unsigned long long most = -1ull; /* queries to send */
static uint64_t seed = 0x9E3779B97F4A7C15;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static uint64_t random_bits(void) { /* xorshift64 */
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void read_queries(const char *file) {
    struct stat status;
    FILE *in = fopen(file, "rb");
    if (!in || fstat(fileno(in), &status) < 0) fail(file);
    unsigned char *octets = malloc(status.st_size + 1), *end = octets + status.st_size;
    if (!octets || fread(octets, 1, status.st_size, in) != (size_t)status.st_size) fail(file);
    fclose(in);
    queries = malloc(sizeof *queries * (status.st_size / (2 + HEADER) + 1));
    for (unsigned char *at = octets; at + 2 + HEADER <= end; at += 2 + (at[0] << 8 | at[1])) queries[query_count++] = at;
    if (query_count < TURN) { /* else a batch could contain a query twice, with the same id */
        fprintf(stderr, "%s: holds fewer than %d queries\n", file, TURN);
        exit(1);
    }
}

static int open_socket(void) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, by_stream ? SOCK_STREAM : SOCK_DGRAM, 0), size = BUFFER, on = 1;
    if (fd < 0) fail("socket");
    if (by_stream) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    else setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0) fail("connect");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void open_client(Client *client) {
    client->fd = open_socket();
    client->asked = client->to_send = client->sent = client->received = 0;
    client->free_count = window;
    for (int i = 0; i < window; i++) {
        client->free[i] = i;
        client->slots[i].sent = 0;
    }
}

/* The next query with a new id, after its length. */
static unsigned char *begin(Client *client, uint64_t now) {
    unsigned char *query = queries[next_query];
    if (++next_query == query_count) next_query = 0;
    int index = client->free[--client->free_count];
    uint16_t id = random_bits() >> 32 << SLOT_BITS | index;
    client->slots[index] = (Slot){now, id};
    query[2] = id >> 8;
    query[3] = id & 0xFF;
    total.sent++;
    return query;
}

static int bucket_of(uint64_t latency) {
    int power = 63 - __builtin_clzll(latency | 16);
    return (power - 4) * 16 + ((latency | 16) >> (power - 4)) - 16;
}

static double bucket_us(int bucket) { return (double)((uint64_t)(16 + bucket % 16) << bucket / 16) / 1000; }

static void finish(Client *client, const unsigned char *reply, uint64_t now) {
    uint16_t id = reply[0] << 8 | reply[1];
    int index = id & (MAX_WINDOW - 1);
    Slot *slot = &client->slots[index];
    if (index >= window || !slot->sent || slot->id != id || !(reply[2] & 0x80)) {
        total.late++;
        return;
    }
    total.answered++;
    total.truncated += reply[2] >> 1 & 1;
    total.rcodes[reply[3] & 15]++;
    total.latencies[bucket_of(now - slot->sent)]++;
    slot->sent = 0;
    client->free[client->free_count++] = index;
}

static void give_up(Client *client, uint64_t before) {
    for (int i = 0; i < window; i++) {
        if (!client->slots[i].sent || client->slots[i].sent >= before) continue;
        client->slots[i].sent = 0;
        client->free[client->free_count++] = i;
        total.lost++;
    }
}

static void ask_datagrams(Client *client, uint64_t now) {
    static struct mmsghdr messages[TURN];
    static struct iovec vectors[TURN];
    int count = client->free_count < TURN ? client->free_count : TURN;
    if (most - total.sent < (unsigned)count) count = most - total.sent;
    for (int i = 0; i < count; i++) {
        unsigned char *query = begin(client, now);
        vectors[i] = (struct iovec){query + 2, query[0] << 8 | query[1]};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    for (int at = 0; at < count;) {
        int sent = sendmmsg(client->fd, messages + at, count - at, 0);
        if (sent > 0) at += sent;
        else if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) fail("send");
    }
}

static int take_datagrams(Client *client) {
    static unsigned char areas[TURN][SIZE];
    static struct mmsghdr messages[TURN];
    static struct iovec vectors[TURN];
    for (int i = 0; i < TURN; i++) {
        vectors[i] = (struct iovec){areas[i], SIZE};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    int received = recvmmsg(client->fd, messages, TURN, MSG_DONTWAIT, NULL);
    if (received < 0 && errno == ECONNREFUSED) fail("receive");
    if (received <= 0) return 0;
    uint64_t now = now_ns();
    for (int i = 0; i < received; i++)
        if (messages[i].msg_len >= HEADER) finish(client, areas[i], now);
    return received;
}

/* A connection sends once half of its window is free, like clients with several questions. */
static void ask_stream(Client *client, uint64_t now) {
    if (client->free_count * 2 >= window)
        while (client->free_count && client->asked < per_connection && total.sent < most) {
            unsigned char *query = queries[next_query];
            int size = 2 + (query[0] << 8 | query[1]);
            if (client->to_send + size > STREAM) break;
            memcpy(client->out + client->to_send, begin(client, now), size);
            client->to_send += size;
            client->asked++;
        }
    if (client->sent == client->to_send) return;
    ssize_t sent = send(client->fd, client->out + client->sent, client->to_send - client->sent, MSG_NOSIGNAL);
    if (sent > 0) client->sent += sent;
    if (client->sent == client->to_send) client->sent = client->to_send = 0;
}

static int take_stream(Client *client) {
    ssize_t octets = recv(client->fd, client->in + client->received, STREAM - client->received, 0);
    if (octets < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (octets <= 0) {
        total.closed++;
        give_up(client, UINT64_MAX);
        close(client->fd);
        open_client(client);
        return 1;
    }
    uint64_t now = now_ns();
    int on = 1; /* else servers with Nagle's algorithm would wait for delayed acknowledgements */
    setsockopt(client->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    client->received += octets;
    int at = 0, size;
    while (client->received - at >= 2 && client->received - at >= 2 + (size = client->in[at] << 8 | client->in[at + 1])) {
        if (size >= HEADER) finish(client, client->in + at + 2, now);
        at += 2 + size;
    }
    memmove(client->in, client->in + at, client->received - at);
    client->received -= at;
    if (client->asked >= per_connection && client->free_count == window) {
        close(client->fd);
        open_client(client);
    }
    return 1;
}

static double percentile(double share) {
    unsigned long long wanted = total.answered * share, seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += total.latencies[i]) > wanted) return bucket_us(i);
    return 0;
}

static void print_totals(double seconds) {
    printf("{\"sent\": %llu, \"answered\": %llu, \"lost\": %llu, \"late\": %llu, \"closed\": %llu, \"truncated\": %llu, ",
           total.sent, total.answered, total.lost, total.late, total.closed, total.truncated);
    printf("\"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"rcodes\": {", seconds, percentile(0.5), percentile(0.99));
    for (int i = 0, first = 1; i < 16; i++)
        if (total.rcodes[i]) {
            printf("%s\"%d\": %llu", first ? "" : ", ", i, total.rcodes[i]);
            first = 0;
        }
    printf("}}\n");
}

static void load(Client *clients, int count, double seconds) {
    uint64_t start = now_ns(), end = start + seconds * 1e9, check = start + CHECK_NS, last = start;
    for (;;) {
        uint64_t now = now_ns();
        int waiting = 0;
        for (int i = 0; i < count; i++) {
            Client *client = &clients[i];
            if (by_stream ? take_stream(client) : take_datagrams(client)) last = now;
            if (now < end && by_stream) ask_stream(client, now);
            else if (now < end && client->free_count) ask_datagrams(client, now);
            waiting += window - client->free_count;
        }
        if ((now >= end || total.sent >= most) && !waiting) break;
        if (now < check) continue;
        check = now + CHECK_NS;
        for (int i = 0; i < count; i++) give_up(&clients[i], now - LOST_NS);
    }
    print_totals((last - start) / 1e9);
}

int main(int argc, char **argv) {
    int option, count = 8;
    while ((option = getopt(argc, argv, "ts:w:n:m:")) != -1) {
        if (option == 't') by_stream = 1;
        else if (option == 's') count = atoi(optarg);
        else if (option == 'w') window = atoi(optarg);
        else if (option == 'n') per_connection = atoi(optarg);
        else if (option == 'm') most = strtoull(optarg, NULL, 10);
        else return 2;
    }
    if (argc - optind != 3 || count < 1 || count > MAX_SOCKETS || window < 1 || window > MAX_WINDOW) {
        fprintf(stderr, "usage: load [-t] [-s SOCKETS] [-w WINDOW] [-n QUERIES] [-m QUERIES] PORT FILE SECONDS\n");
        return 2;
    }
    port = atoi(argv[optind]);
    seed ^= now_ns();
    read_queries(argv[optind + 1]);
    Client *clients = calloc(count, sizeof *clients);
    if (!clients) fail("memory");
    for (int i = 0; i < count; i++) open_client(&clients[i]);
    load(clients, count, atof(argv[optind + 2]));
    return 0;
}

// The bare peer: what a worker could do at most on this broker and this library, with no decision,
// no store and no checks between a command and its event.
//
// It consumes the partition queues on one connection and publishes one persistent, mandatory,
// confirmed event of about 700 bytes per command on a second one. A command is acknowledged once
// its event is confirmed. One thread polls both sockets; both directions are batched as the adapter
// batches them.
//
//   cc -O2 -Wall -o bare bare.c -lrabbitmq
//   ./bare HOST PORT COMMANDS [PREFETCH 100] [WINDOW 512] [PARTITIONS 8] [PREFIX stillpoint]
//   ./bare HOST PORT COMMANDS load [KEYS 1000] [PARTITIONS 8] [PREFIX stillpoint]    fills the queues
//
// The topology must exist. Prints one line: commands, seconds, commands a second.

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { CHANNEL = 1, BODY = 700, LOAD_WINDOW = 1000 };

static void fail(const char *what) {
    fprintf(stderr, "bare: %s\n", what);
    exit(1);
}

static void check(amqp_rpc_reply_t reply, const char *what) {
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) fail(what);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static amqp_connection_state_t open_connection(const char *host, int port) {
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(c);
    if (!socket || amqp_socket_open(socket, host, port)) fail("cannot connect");
    check(amqp_login(c, "/", 16, 131072, 10, AMQP_SASL_METHOD_PLAIN, "guest", "guest"), "log-in");
    amqp_channel_open(c, CHANNEL);
    check(amqp_get_rpc_reply(c), "channel");
    return c;
}

static void cork(amqp_connection_state_t c, int held) {
    setsockopt(amqp_get_sockfd(c), IPPROTO_TCP, TCP_CORK, &held, sizeof held);
}

static void publish(amqp_connection_state_t c, const char *exchange, const char *key, const char *id,
                    const char *body, size_t size) {
    amqp_basic_properties_t p;
    memset(&p, 0, sizeof p);
    p._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG;
    p.delivery_mode = 2;
    p.content_type = amqp_cstring_bytes("application/cloudevents+json");
    p.message_id = amqp_cstring_bytes(id);
    amqp_bytes_t bytes = {size, (void *)body};
    if (amqp_basic_publish(c, CHANNEL, amqp_cstring_bytes(exchange), amqp_cstring_bytes(key), 1, 0, &p,
                           bytes))
        fail("publish");
}

// The next frame that is there already.
static bool next_frame(amqp_connection_state_t c, amqp_frame_t *frame) {
    struct timeval zero = {0, 0};
    for (;;) {
        int status = amqp_simple_wait_frame_noblock(c, frame, &zero);
        if (status == AMQP_STATUS_TIMEOUT) return false;
        if (status) fail(amqp_error_string2(status));
        if (frame->frame_type != AMQP_FRAME_HEARTBEAT) return true;
    }
}

// Confirms: fills the answered sequence numbers into `done`, indexed modulo `size`.
static long take_confirms(amqp_connection_state_t c, bool *done, long size, long *oldest, long sent) {
    amqp_frame_t frame;
    long answered = 0;
    while (next_frame(c, &frame)) {
        if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
            fail("something else than an acknowledgement came back");
        amqp_basic_ack_t *ack = frame.payload.method.decoded;
        for (long n = ack->multiple ? *oldest : (long)ack->delivery_tag; n <= (long)ack->delivery_tag; n++)
            if (!done[n % size]) done[n % size] = true, answered++;
        while (*oldest <= sent && done[*oldest % size]) done[*oldest % size] = false, (*oldest)++;
        amqp_maybe_release_buffers(c);
    }
    return answered;
}

static void load(amqp_connection_state_t c, long commands, int keys, const char *prefix) {
    char exchange[128], key[64], id[64], body[256];
    bool done[2 * LOAD_WINDOW] = {false};
    long oldest = 1, confirmed = 0;
    snprintf(exchange, sizeof exchange, "%s.commands", prefix);
    amqp_confirm_select(c, CHANNEL);
    check(amqp_get_rpc_reply(c), "confirms");
    for (long sent = 0; confirmed < commands;) {
        cork(c, 1);
        for (int n = 0; n < 100 && sent < commands && sent - (oldest - 1) < LOAD_WINDOW; n++, sent++) {
            snprintf(key, sizeof key, "session-%ld", sent % keys);
            snprintf(id, sizeof id, "load-%ld", sent);
            int size = snprintf(body, sizeof body,
                                "{\"id\":\"%s\",\"command\":\"DescribeSession\",\"session\":\"%s\"}", id, key);
            publish(c, exchange, key, id, body, (size_t)size);
        }
        cork(c, 0);
        long got = take_confirms(c, done, 2 * LOAD_WINDOW, &oldest, sent);
        confirmed += got;
        if (!got) {
            struct pollfd wait = {amqp_get_sockfd(c), POLLIN, 0};
            poll(&wait, 1, 1000);
        }
    }
}

// One delivery waiting to be answered with an event.
struct command {
    uint64_t tag;
    char key[256];
};

static struct command *ring;
static long ring_size, ring_head, ring_tail;

static void take_deliveries(amqp_connection_state_t c) {
    static uint64_t missing;
    static bool has_method, has_header;
    amqp_frame_t frame;
    while (ring_tail - ring_head < ring_size - 1 && next_frame(c, &frame)) {
        if (frame.frame_type == AMQP_FRAME_METHOD) {
            if (frame.payload.method.id != AMQP_BASIC_DELIVER_METHOD) fail("the consumer was ended");
            amqp_basic_deliver_t *deliver = frame.payload.method.decoded;
            struct command *command = &ring[ring_tail % ring_size];
            command->tag = deliver->delivery_tag;
            snprintf(command->key, sizeof command->key, "%.*s.command.completed",
                     (int)deliver->routing_key.len, (char *)deliver->routing_key.bytes);
            has_method = true;
            continue;
        }
        if (frame.frame_type == AMQP_FRAME_HEADER) {
            missing = frame.payload.properties.body_size;
            has_header = true;
        } else {
            missing -= frame.payload.body_fragment.len;
        }
        if (has_method && has_header && missing == 0) {
            ring_tail++;
            has_method = has_header = false;
            amqp_maybe_release_buffers(c);
        }
    }
}

static double work(const char *host, int port, long commands, int prefetch, long window, int partitions,
                   const char *prefix) {
    amqp_connection_state_t in = open_connection(host, port), out = open_connection(host, port);
    char exchange[128], id[64], body[BODY];
    memset(body, 'x', sizeof body);
    snprintf(exchange, sizeof exchange, "%s.events", prefix);
    amqp_confirm_select(out, CHANNEL);
    check(amqp_get_rpc_reply(out), "confirms");
    ring_size = (long)prefetch * partitions + 1;
    ring = calloc((size_t)ring_size, sizeof *ring);
    bool *done = calloc((size_t)(2 * window), sizeof *done);
    // The tag of each event on the way, by its sequence number.
    uint64_t *tags = calloc((size_t)(2 * window), sizeof *tags);
    long sent = 0, oldest = 1, acknowledged = 0;
    double began = now();
    amqp_basic_qos(in, CHANNEL, 0, (uint16_t)prefetch, 0);
    check(amqp_get_rpc_reply(in), "prefetch");
    for (int n = 0; n < partitions; n++) {
        char queue[128];
        snprintf(queue, sizeof queue, "%s.commands.%d", prefix, n);
        amqp_basic_consume(in, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0,
                           amqp_empty_table);
        check(amqp_get_rpc_reply(in), "consume");
    }
    while (acknowledged < commands) {
        take_deliveries(in);
        cork(out, 1);
        for (int n = 0; n < 128 && ring_head < ring_tail && sent - (oldest - 1) < window; n++) {
            struct command *command = &ring[ring_head++ % ring_size];
            sent++;
            tags[sent % (2 * window)] = command->tag;
            snprintf(id, sizeof id, "bare/%020ld", sent);
            publish(out, exchange, command->key, id, body, sizeof body);
        }
        cork(out, 0);
        long first = oldest;
        take_confirms(out, done, 2 * window, &oldest, sent);
        // Deliveries became events in order, so that a confirmed prefix of events is one of
        // deliveries.
        if (oldest > first) {
            if (amqp_basic_ack(in, CHANNEL, tags[(oldest - 1) % (2 * window)], oldest - first > 1))
                fail("acknowledge");
            acknowledged += oldest - first;
        }
        bool can_send = ring_head < ring_tail && sent - (oldest - 1) < window;
        if (can_send || acknowledged >= commands || amqp_frames_enqueued(in) || amqp_data_in_buffer(in))
            continue;
        struct pollfd wait[2] = {{amqp_get_sockfd(in), POLLIN, 0}, {amqp_get_sockfd(out), POLLIN, 0}};
        poll(wait, 2, 3000);
    }
    double took = now() - began;
    amqp_channel_close(in, CHANNEL, AMQP_REPLY_SUCCESS);
    amqp_connection_close(in, AMQP_REPLY_SUCCESS);
    amqp_connection_close(out, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(in);
    amqp_destroy_connection(out);
    return took;
}

static long argument(int argc, char **argv, int position, long fallback) {
    return argc > position ? strtol(argv[position], NULL, 10) : fallback;
}

int main(int argc, char **argv) {
    if (argc < 4) fail("usage: bare HOST PORT COMMANDS [PREFETCH [WINDOW [PARTITIONS [PREFIX]]]]");
    const char *host = argv[1], *prefix = argc > 7 ? argv[7] : "stillpoint";
    int port = atoi(argv[2]);
    long commands = strtol(argv[3], NULL, 10);
    if (argc > 4 && strcmp(argv[4], "load") == 0) {
        amqp_connection_state_t c = open_connection(host, port);
        double began = now();
        load(c, commands, (int)argument(argc, argv, 5, 1000), prefix);
        double took = now() - began;
        printf("loaded %ld commands in %.2f s: %.0f/s\n", commands, took, (double)commands / took);
        amqp_connection_close(c, AMQP_REPLY_SUCCESS);
        return 0;
    }
    double took = work(host, port, commands, (int)argument(argc, argv, 4, 100),
                       argument(argc, argv, 5, 512), (int)argument(argc, argv, 6, 8), prefix);
    printf("%ld commands in %.2f s: %.0f/s\n", commands, took, (double)commands / took);
    return 0;
}

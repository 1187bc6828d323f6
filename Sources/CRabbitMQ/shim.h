// What Swift cannot call of librabbitmq: variadic log-ins, and the building of tables out of
// unions. Everything else is called directly. Two calls of the system that Swift's Glibc module
// leaves out, and that the connection threads need, are at the end. Debian 12 ships 0.11 with flat
// headers; newer releases keep them in a directory.

#ifndef STILLPOINT_CRABBITMQ_H
#define STILLPOINT_CRABBITMQ_H

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#include <rabbitmq-c/ssl_socket.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#endif
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/time.h>

#define RMQ_CHANNELS 16
#define RMQ_FRAME_BYTES 131072

// Table entries. Keys and text are borrowed: they must outlive the call that sends the table.

static inline amqp_table_entry_t rmq_entry_text(amqp_bytes_t key, amqp_bytes_t text) {
    amqp_table_entry_t entry;
    memset(&entry, 0, sizeof entry);
    entry.key = key;
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = text;
    return entry;
}

static inline amqp_table_entry_t rmq_entry_integer(amqp_bytes_t key, int64_t number) {
    amqp_table_entry_t entry;
    memset(&entry, 0, sizeof entry);
    entry.key = key;
    entry.value.kind = AMQP_FIELD_KIND_I64;
    entry.value.value.i64 = number;
    return entry;
}

static inline amqp_table_entry_t rmq_entry_time(amqp_bytes_t key, uint64_t seconds) {
    amqp_table_entry_t entry;
    memset(&entry, 0, sizeof entry);
    entry.key = key;
    entry.value.kind = AMQP_FIELD_KIND_TIMESTAMP;
    entry.value.value.u64 = seconds;
    return entry;
}

static inline amqp_table_entry_t rmq_entry_true(amqp_bytes_t key) {
    amqp_table_entry_t entry;
    memset(&entry, 0, sizeof entry);
    entry.key = key;
    entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
    entry.value.value.boolean = 1;
    return entry;
}

static inline amqp_table_entry_t rmq_entry_table(amqp_bytes_t key, amqp_table_t table) {
    amqp_table_entry_t entry;
    memset(&entry, 0, sizeof entry);
    entry.key = key;
    entry.value.kind = AMQP_FIELD_KIND_TABLE;
    entry.value.value.table = table;
    return entry;
}

// Logs in. The library's own log-in announces neither consumer_cancel_notify nor
// connection.blocked, so that a deleted queue or a memory alarm would only look like silence.
// `external` takes the identity from the client's certificate, and `secret` is then not used.
static inline amqp_rpc_reply_t rmq_log_in(amqp_connection_state_t state, const char *vhost,
                                          int heartbeat, bool external, const char *user,
                                          const char *secret, const char *name) {
    amqp_table_entry_t abilities[5];
    abilities[0] = rmq_entry_true(amqp_cstring_bytes("authentication_failure_close"));
    abilities[1] = rmq_entry_true(amqp_cstring_bytes("basic.nack"));
    abilities[2] = rmq_entry_true(amqp_cstring_bytes("connection.blocked"));
    abilities[3] = rmq_entry_true(amqp_cstring_bytes("consumer_cancel_notify"));
    abilities[4] = rmq_entry_true(amqp_cstring_bytes("publisher_confirms"));
    amqp_table_t capabilities = {5, abilities};

    amqp_table_entry_t entries[3];
    entries[0] = rmq_entry_table(amqp_cstring_bytes("capabilities"), capabilities);
    entries[1] = rmq_entry_text(amqp_cstring_bytes("connection_name"), amqp_cstring_bytes(name));
    entries[2] = rmq_entry_text(amqp_cstring_bytes("product"), amqp_cstring_bytes("Stillpoint"));
    amqp_table_t properties = {3, entries};

    if (external) {
        return amqp_login_with_properties(state, vhost, RMQ_CHANNELS, RMQ_FRAME_BYTES, heartbeat,
                                          &properties, AMQP_SASL_METHOD_EXTERNAL, user);
    }
    return amqp_login_with_properties(state, vhost, RMQ_CHANNELS, RMQ_FRAME_BYTES, heartbeat,
                                      &properties, AMQP_SASL_METHOD_PLAIN, user, secret);
}

// What a frame is, as far as this project tells frames apart.
enum rmq_frame {
    RMQ_FRAME_OTHER = 0,
    RMQ_FRAME_HEARTBEAT,
    RMQ_FRAME_HEADER,
    RMQ_FRAME_BODY,
    RMQ_FRAME_DELIVER,
    RMQ_FRAME_RETURN,
    RMQ_FRAME_ACK,
    RMQ_FRAME_NACK,
    RMQ_FRAME_CANCEL,
    RMQ_FRAME_BLOCKED,
    RMQ_FRAME_UNBLOCKED,
    RMQ_FRAME_CHANNEL_CLOSE,
    RMQ_FRAME_CONNECTION_CLOSE,
};

static inline enum rmq_frame rmq_method_kind(amqp_method_number_t method) {
    switch (method) {
    case AMQP_BASIC_DELIVER_METHOD: return RMQ_FRAME_DELIVER;
    case AMQP_BASIC_RETURN_METHOD: return RMQ_FRAME_RETURN;
    case AMQP_BASIC_ACK_METHOD: return RMQ_FRAME_ACK;
    case AMQP_BASIC_NACK_METHOD: return RMQ_FRAME_NACK;
    case AMQP_BASIC_CANCEL_METHOD: return RMQ_FRAME_CANCEL;
    case AMQP_CONNECTION_BLOCKED_METHOD: return RMQ_FRAME_BLOCKED;
    case AMQP_CONNECTION_UNBLOCKED_METHOD: return RMQ_FRAME_UNBLOCKED;
    case AMQP_CHANNEL_CLOSE_METHOD: return RMQ_FRAME_CHANNEL_CLOSE;
    case AMQP_CONNECTION_CLOSE_METHOD: return RMQ_FRAME_CONNECTION_CLOSE;
    default: return RMQ_FRAME_OTHER;
    }
}

static inline enum rmq_frame rmq_frame_kind(const amqp_frame_t *frame) {
    switch (frame->frame_type) {
    case AMQP_FRAME_HEARTBEAT: return RMQ_FRAME_HEARTBEAT;
    case AMQP_FRAME_HEADER: return RMQ_FRAME_HEADER;
    case AMQP_FRAME_BODY: return RMQ_FRAME_BODY;
    case AMQP_FRAME_METHOD: return rmq_method_kind(frame->payload.method.id);
    default: return RMQ_FRAME_OTHER;
    }
}

// The broker's closing of a channel or of the connection must be answered by the client; the
// library leaves that to its caller.
static inline int rmq_send_close_ok(amqp_connection_state_t state, amqp_channel_t channel) {
    if (channel == 0) {
        amqp_connection_close_ok_t done;
        memset(&done, 0, sizeof done);
        return amqp_send_method(state, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &done);
    }
    amqp_channel_close_ok_t done;
    memset(&done, 0, sizeof done);
    return amqp_send_method(state, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &done);
}

// A descriptor that another thread can make readable: -1 with errno where there is none to be had.
static inline int rmq_event_descriptor(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

// Names the calling thread; the kernel keeps 15 bytes.
static inline void rmq_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

#endif

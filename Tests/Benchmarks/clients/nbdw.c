/* nbdw: how fast is the first write to every track?
 *
 * Writes once into every 64 KiB track of an export, in random order, keeping a number of writes in
 * flight, and prints writes per second and their latencies. After a point in time was taken, each of
 * these is a first write, which is what copying on write costs. Each pass takes another order.
 *
 * Build:  cc -O2 -Wall -Wextra -o nbdw nbdw.c $(pkg-config --cflags --libs libnbd)
 *         (Debian: apt-get install gcc pkg-config libnbd-dev)
 * Use:    nbdw -s SOCKET | -p PORT [-H HOST] [-e EXPORT] [-b BYTES] [-q DEPTH] [-n PASSES]
 *              [-t TRACKBYTES] [-c TRACKS] [-r SEED] [-o] [-f]
 *   -o  at a random multiple of BYTES within the track instead of at its beginning
 *   -f  FUA on every write
 * Prints a line for each pass:
 *   pass N writes W seconds S writes/s R p50_us A p99_us B max_us C errors E
 */
#include <errno.h>
#include <inttypes.h>
#include <libnbd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct options {
    const char *socket, *host, *port, *export;
    uint64_t bytes, depth, passes, track, tracks, seed;
    bool scatter, fua;
};

struct slot {
    uint64_t started;
    bool busy;
};

static uint64_t random_state;
static float *latencies; /* microseconds */
static uint64_t completed, failed, in_flight;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t random_number(void) {
    uint64_t z = random_state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void die(const char *what) {
    fprintf(stderr, "nbdw: %s: %s\n", what, nbd_get_error());
    exit(1);
}

static void usage(void) {
    fprintf(stderr,
            "usage: nbdw -s SOCKET | -p PORT [-H HOST] [-e EXPORT] [-b BYTES] [-q DEPTH]\n"
            "            [-n PASSES] [-t TRACKBYTES] [-c TRACKS] [-r SEED] [-o] [-f]\n");
    exit(2);
}

static struct options parse(int argc, char **argv) {
    struct options o = {.host = "127.0.0.1", .export = "", .bytes = 4096, .depth = 16,
                        .passes = 1, .track = 65536, .seed = 1};
    for (int c; (c = getopt(argc, argv, "s:H:p:e:b:q:n:t:c:r:of")) != -1;) {
        switch (c) {
        case 's': o.socket = optarg; break;
        case 'H': o.host = optarg; break;
        case 'p': o.port = optarg; break;
        case 'e': o.export = optarg; break;
        case 'b': o.bytes = strtoull(optarg, NULL, 0); break;
        case 'q': o.depth = strtoull(optarg, NULL, 0); break;
        case 'n': o.passes = strtoull(optarg, NULL, 0); break;
        case 't': o.track = strtoull(optarg, NULL, 0); break;
        case 'c': o.tracks = strtoull(optarg, NULL, 0); break;
        case 'r': o.seed = strtoull(optarg, NULL, 0); break;
        case 'o': o.scatter = true; break;
        case 'f': o.fua = true; break;
        default: usage();
        }
    }
    if (optind != argc || (!o.socket && !o.port) || !o.bytes || !o.depth || o.bytes > o.track)
        usage();
    return o;
}

static struct nbd_handle *connect_to(const struct options *o) {
    struct nbd_handle *nbd = nbd_create();
    if (!nbd || nbd_set_export_name(nbd, o->export) == -1) die("export name");
    int code = o->socket ? nbd_connect_unix(nbd, o->socket)
                         : nbd_connect_tcp(nbd, o->host, o->port);
    if (code == -1) die("connect");
    return nbd;
}

static int write_done(void *user, int *error) {
    struct slot *slot = user;
    latencies[completed++] = (float)(now() - slot->started) / 1000;
    if (*error) failed++;
    slot->busy = false;
    in_flight--;
    return 1; /* retire the command */
}

static void wait_below(struct nbd_handle *nbd, uint64_t limit) {
    while (in_flight >= limit)
        if (nbd_poll(nbd, -1) == -1) die("poll");
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float percentile(uint64_t count, double p) {
    uint64_t index = (uint64_t)(p * (double)count);
    return latencies[index < count ? index : count - 1];
}

static void run_pass(struct nbd_handle *nbd, const struct options *o, uint64_t pass,
                     uint64_t *order, uint64_t count, struct slot *slots, char *data) {
    for (uint64_t i = 0; i < count; i++) order[i] = i;
    for (uint64_t i = count; i > 1; i--) {
        uint64_t j = random_number() % i, t = order[i - 1];
        order[i - 1] = order[j];
        order[j] = t;
    }
    completed = failed = 0;
    uint64_t places = o->track / o->bytes, start = now(), next = 0;
    for (uint64_t i = 0; i < count; i++) {
        wait_below(nbd, o->depth);
        while (slots[next].busy) next = (next + 1) % o->depth;
        slots[next] = (struct slot){.started = now(), .busy = true};
        in_flight++;
        uint64_t within = o->scatter ? random_number() % places * o->bytes : 0;
        nbd_completion_callback done = {.callback = write_done, .user_data = &slots[next]};
        if (nbd_aio_pwrite(nbd, data, o->bytes, order[i] * o->track + within, done,
                           o->fua ? LIBNBD_CMD_FLAG_FUA : 0) == -1)
            die("write");
    }
    wait_below(nbd, 1);
    double seconds = (double)(now() - start) / 1e9;
    qsort(latencies, count, sizeof *latencies, compare);
    printf("pass %" PRIu64 " writes %" PRIu64 " seconds %.3f writes/s %.0f p50_us %.1f "
           "p99_us %.1f max_us %.1f errors %" PRIu64 "\n",
           pass, count, seconds, (double)count / seconds, percentile(count, 0.5),
           percentile(count, 0.99), latencies[count - 1], failed);
    fflush(stdout);
}

int main(int argc, char **argv) {
    struct options o = parse(argc, argv);
    struct nbd_handle *nbd = connect_to(&o);
    int64_t size = nbd_get_size(nbd);
    if (size < 0) die("size");
    uint64_t count = (uint64_t)size / o.track;
    if (o.tracks && o.tracks < count) count = o.tracks;
    if (!count) {
        fprintf(stderr, "nbdw: the export has no whole track\n");
        return 1;
    }
    random_state = o.seed;
    uint64_t *order = malloc(count * sizeof *order);
    struct slot *slots = calloc(o.depth, sizeof *slots);
    char *data = malloc(o.bytes);
    latencies = malloc(count * sizeof *latencies);
    if (!order || !slots || !data || !latencies) {
        fprintf(stderr, "nbdw: out of memory\n");
        return 1;
    }
    uint64_t total_failed = 0;
    for (uint64_t pass = 1; pass <= o.passes; pass++) {
        for (uint64_t i = 0; i < o.bytes; i++) data[i] = (char)random_number();
        run_pass(nbd, &o, pass, order, count, slots, data);
        total_failed += failed;
    }
    if (nbd_shutdown(nbd, 0) == -1) die("shutdown");
    nbd_close(nbd);
    return total_failed ? 1 : 0;
}

/* stall: how long do hosts wait, and when?
 *
 * Writes 4 KiB blocks at random places of random exports, one at a time on each of a number of
 * connections, for a number of seconds, and notes when each write began and how long it took. Prints
 * the latencies over all, and those of the writes that were under way around given instants: what a
 * consistency group, a rolled-off backup or a restarted worker costs those who write meanwhile.
 *
 * Build:  cc -O2 -Wall -Wextra -pthread -o stall stall.c $(pkg-config --cflags --libs libnbd)
 *         (Debian: apt-get install gcc pkg-config libnbd-dev)
 * Use:    stall -s SOCKET | -p PORT [-H HOST] -e EXPORT [-e EXPORT …] [-j CONNECTIONS]
 *               [-d SECONDS] [-b BYTES] [-w MILLISECONDS] [-l LOGFILE] [-r SEED] [-f]
 *               [-i] [INSTANT …]
 *   -w  how far the window around an instant reaches to either side (default 100)
 *   -l  writes a line for each write: start (seconds since 1970), latency (µs), connection, export
 *   -f  FUA on every write
 *   -i  when the writing is over, reads more instants from standard input to its end, one a line;
 *       words behind the number are its label
 * An INSTANT is in seconds since 1970, with a fraction.
 * Prints
 *   all        writes N errors E writes/s R p50_us A p99_us B p99.9_us C max_us D at T
 *   window T [label] writes N p50_us A p99_us B max_us D
 */
#include <inttypes.h>
#include <libnbd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST_EXPORTS 4096

struct record {
    double start;  /* seconds since 1970 */
    float latency; /* microseconds */
    uint16_t connection, export;
};

struct options {
    const char *socket, *host, *port, *log;
    const char *exports[MOST_EXPORTS];
    int export_count, connections;
    double seconds, window;
    uint64_t bytes, seed;
    bool fua, instants_from_input;
};

struct worker {
    const struct options *options;
    int number;
    pthread_t thread;
    struct record *records;
    size_t count, capacity;
    uint64_t errors;
};

static double clock_seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t random_number(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void die(const char *what) {
    fprintf(stderr, "stall: %s: %s\n", what, nbd_get_error());
    exit(1);
}

static void out_of_memory(void) {
    fprintf(stderr, "stall: out of memory\n");
    exit(1);
}

static void usage(void) {
    fprintf(stderr,
            "usage: stall -s SOCKET | -p PORT [-H HOST] -e EXPORT [-e EXPORT ...]\n"
            "             [-j CONNECTIONS] [-d SECONDS] [-b BYTES] [-w MILLISECONDS]\n"
            "             [-l LOGFILE] [-r SEED] [-f] [-i] [INSTANT ...]\n");
    exit(2);
}

static void parse(int argc, char **argv, struct options *o) {
    *o = (struct options){.host = "127.0.0.1", .connections = 1, .seconds = 10,
                          .window = 0.1, .bytes = 4096, .seed = 1};
    for (int c; (c = getopt(argc, argv, "s:H:p:e:j:d:b:w:l:r:fi")) != -1;) {
        switch (c) {
        case 's': o->socket = optarg; break;
        case 'H': o->host = optarg; break;
        case 'p': o->port = optarg; break;
        case 'e':
            if (o->export_count == MOST_EXPORTS) usage();
            o->exports[o->export_count++] = optarg;
            break;
        case 'j': o->connections = atoi(optarg); break;
        case 'd': o->seconds = atof(optarg); break;
        case 'b': o->bytes = strtoull(optarg, NULL, 0); break;
        case 'w': o->window = atof(optarg) / 1000; break;
        case 'l': o->log = optarg; break;
        case 'r': o->seed = strtoull(optarg, NULL, 0); break;
        case 'f': o->fua = true; break;
        case 'i': o->instants_from_input = true; break;
        default: usage();
        }
    }
    if ((!o->socket && !o->port) || !o->export_count || o->connections < 1 || !o->bytes) usage();
}

static struct nbd_handle *connect_to(const struct options *o, const char *export) {
    struct nbd_handle *nbd = nbd_create();
    if (!nbd || nbd_set_export_name(nbd, export) == -1) die("export name");
    int code = o->socket ? nbd_connect_unix(nbd, o->socket)
                         : nbd_connect_tcp(nbd, o->host, o->port);
    if (code == -1) die("connect");
    return nbd;
}

static void note(struct worker *w, double start, double latency, int export) {
    if (w->count == w->capacity) {
        w->capacity = w->capacity ? w->capacity * 2 : 1 << 16;
        w->records = realloc(w->records, w->capacity * sizeof *w->records);
        if (!w->records) out_of_memory();
    }
    w->records[w->count++] = (struct record){
        start, (float)(latency * 1e6), (uint16_t)w->number, (uint16_t)export};
}

static void *work(void *argument) {
    struct worker *w = argument;
    const struct options *o = w->options;
    uint64_t state = o->seed * 1000003 + (uint64_t)w->number;
    struct nbd_handle **handles = calloc((size_t)o->export_count, sizeof *handles);
    char *data = malloc(o->bytes);
    if (!handles || !data) out_of_memory();
    for (int i = 0; i < o->export_count; i++) handles[i] = connect_to(o, o->exports[i]);
    for (uint64_t i = 0; i < o->bytes; i++) data[i] = (char)random_number(&state);
    double end = clock_seconds(CLOCK_MONOTONIC) + o->seconds;
    for (;;) {
        int export = (int)(random_number(&state) % (uint64_t)o->export_count);
        uint64_t blocks = (uint64_t)nbd_get_size(handles[export]) / o->bytes;
        if (!blocks) {
            fprintf(stderr, "stall: export %s has no whole block\n", o->exports[export]);
            exit(1);
        }
        uint64_t offset = random_number(&state) % blocks * o->bytes;
        double wall = clock_seconds(CLOCK_REALTIME), start = clock_seconds(CLOCK_MONOTONIC);
        if (start >= end) break;
        if (nbd_pwrite(handles[export], data, o->bytes, offset,
                       o->fua ? LIBNBD_CMD_FLAG_FUA : 0) == -1) {
            w->errors++;
            if (nbd_aio_is_dead(handles[export]) || nbd_aio_is_closed(handles[export])) {
                fprintf(stderr, "stall: %s: %s\n", o->exports[export], nbd_get_error());
                break;
            }
        }
        note(w, wall, clock_seconds(CLOCK_MONOTONIC) - start, export);
    }
    for (int i = 0; i < o->export_count; i++) {
        nbd_shutdown(handles[i], 0);
        nbd_close(handles[i]);
    }
    free(handles);
    free(data);
    return NULL;
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float percentile(const float *sorted, size_t count, double p) {
    size_t index = (size_t)(p * (double)count);
    return sorted[index < count ? index : count - 1];
}

/* The latencies of all writes that were under way between two instants, sorted. */
static size_t select_sorted(const struct worker *workers, int count, double from, double to,
                            float *into) {
    size_t selected = 0;
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < workers[i].count; k++) {
            const struct record *r = &workers[i].records[k];
            if (r->start <= to && r->start + r->latency / 1e6 >= from)
                into[selected++] = r->latency;
        }
    qsort(into, selected, sizeof *into, compare);
    return selected;
}

static void print_window(const struct worker *workers, const struct options *o, double instant,
                         const char *label, float *scratch) {
    size_t n = select_sorted(workers, o->connections, instant - o->window, instant + o->window,
                             scratch);
    printf("window %.6f%s%s writes %zu", instant, *label ? " " : "", label, n);
    if (n)
        printf(" p50_us %.1f p99_us %.1f max_us %.1f", percentile(scratch, n, 0.5),
               percentile(scratch, n, 0.99), scratch[n - 1]);
    printf("\n");
}

static void print_all(const struct worker *workers, const struct options *o, size_t total,
                      float *scratch) {
    uint64_t errors = 0;
    const struct record *slowest = NULL;
    for (int i = 0; i < o->connections; i++) {
        errors += workers[i].errors;
        for (size_t k = 0; k < workers[i].count; k++)
            if (!slowest || workers[i].records[k].latency > slowest->latency)
                slowest = &workers[i].records[k];
    }
    printf("all writes %zu errors %" PRIu64 " writes/s %.0f", total, errors,
           (double)total / o->seconds);
    if (slowest) {
        select_sorted(workers, o->connections, -1e300, 1e300, scratch);
        printf(" p50_us %.1f p99_us %.1f p99.9_us %.1f max_us %.1f at %.6f",
               percentile(scratch, total, 0.5), percentile(scratch, total, 0.99),
               percentile(scratch, total, 0.999), slowest->latency, slowest->start);
    }
    printf("\n");
}

static void print_windows_from_input(const struct worker *workers, const struct options *o,
                                     float *scratch) {
    char line[512];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = 0;
        char *rest;
        double instant = strtod(line, &rest);
        if (rest == line) continue;
        print_window(workers, o, instant, rest + strspn(rest, " \t"), scratch);
    }
}

static void write_log(const struct worker *workers, const struct options *o) {
    FILE *file = fopen(o->log, "w");
    if (!file) {
        perror(o->log);
        exit(1);
    }
    for (int i = 0; i < o->connections; i++)
        for (size_t k = 0; k < workers[i].count; k++) {
            const struct record *r = &workers[i].records[k];
            fprintf(file, "%.6f %.1f %d %s\n", r->start, r->latency, r->connection,
                    o->exports[r->export]);
        }
    if (fclose(file)) {
        perror(o->log);
        exit(1);
    }
}

int main(int argc, char **argv) {
    static struct options o;
    parse(argc, argv, &o);
    struct worker *workers = calloc((size_t)o.connections, sizeof *workers);
    if (!workers) out_of_memory();
    for (int i = 0; i < o.connections; i++) {
        workers[i].options = &o;
        workers[i].number = i;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) {
            fprintf(stderr, "stall: no thread to be had\n");
            return 1;
        }
    }
    size_t total = 0;
    uint64_t errors = 0;
    for (int i = 0; i < o.connections; i++) {
        pthread_join(workers[i].thread, NULL);
        total += workers[i].count;
        errors += workers[i].errors;
    }
    float *scratch = malloc((total + 1) * sizeof *scratch);
    if (!scratch) out_of_memory();
    print_all(workers, &o, total, scratch);
    for (int i = optind; i < argc; i++) print_window(workers, &o, atof(argv[i]), "", scratch);
    if (o.instants_from_input) print_windows_from_input(workers, &o, scratch);
    if (o.log) write_log(workers, &o);
    return errors ? 1 : 0;
}

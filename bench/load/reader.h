/* One subscriber's side of a stream: response head, chunked transfer coding, SSE lines, order of events. */
#ifndef BENCH_READER_H
#define BENCH_READER_H

#include "payload.h"
#include "stats.h"

#include <stdatomic.h>

/* The start of the read buffer is kept free for what a stream has left over from its last read. */
#define CARRY_MAX (96 * 1024)
#define READ_MAX (256 * 1024)

enum phase { PHASE_CONNECTING, PHASE_HEAD, PHASE_BODY, PHASE_CLOSED };
enum chunk_phase { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_END };

struct stream {
    int fd;
    enum phase phase;
    bool chunked;
    enum chunk_phase chunk;
    size_t chunk_left;

    char *carry; /* bytes of an unfinished head or line; NULL while there are none */
    size_t carry_length;

    int data_lines; /* of the event that is being read */
    enum payload_kind kind;
    struct payload payload;

    int64_t next;   /* while seen is NULL: every event below this one came, in order, once */
    uint8_t *seen;  /* one bit an event, made only when the first event came out of turn */
    int64_t highest;
};

/* What one loop saw. The atomics are read by the main thread during the run, the rest after the loop has ended. */
struct tally {
    atomic_long ready, delivered, closed;
    _Atomic int64_t last_delivery;
    long duplicated, reordered, corrupt, other;
    struct histogram latency;
    struct payload_hints hints;
    int64_t warmup; /* events below this number are checked but not timed */
    int64_t total;
};

/* Takes the bytes that were read to buffer + CARRY_MAX. */
void stream_feed(struct stream *s, struct tally *tally, char *buffer, size_t length, int64_t now);
void stream_close(struct stream *s, struct tally *tally);
long stream_missing(const struct stream *s, int64_t published);

#endif

/* The event that travels: how it is written by the publisher and recognised, letter by letter, by the readers. */
#ifndef BENCH_PAYLOAD_H
#define BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for everything of an event but its padding. */
#define PAYLOAD_MARGIN 200

struct payload {
    int64_t seq;
    int64_t sent;
};

/* Where the keys were found in the last event. Events of one run look alike, so a look at the old place nearly
 * always spares the search. Each loop keeps its own. */
struct payload_hints {
    size_t text, seq, sent;
};

enum payload_kind { PAYLOAD_OURS, PAYLOAD_OTHER, PAYLOAD_CORRUPT };

void payload_init(size_t padding);
size_t payload_write(char *out, int64_t seq, int64_t sent);
enum payload_kind payload_read(const char *line, size_t length, struct payload_hints *hints, struct payload *out);

#endif

/* The side that posts: one keep-alive connection, and a second one that asks for the health endpoint. */
#ifndef BENCH_PUBLISHER_H
#define BENCH_PUBLISHER_H

#include "stats.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct target {
    int port;
    const char *path;
    const char *headers; /* complete lines, each with its CRLF */
    const char *content_type;
    const char *before, *after; /* what a peer wants around the event, such as a form field's name */
};

struct publisher {
    struct target target;
    int64_t first, count; /* events first .. first + count - 1 */
    int64_t batch;        /* events a POST; 1 sends a bare object */
    double rate;          /* POSTs a second; 0: the next one as soon as the answer is there */
    size_t padding;
    int64_t deadline;     /* no further POST after this moment; 0: none */

    atomic_long posted, refused; /* events that were acknowledged, and POSTs that were not */
    int64_t started, ended;
    struct histogram answer;
};

struct probe {
    struct target target;
    int64_t interval;
    atomic_bool stop;
    long failures;
    struct histogram answer;
};

int dial(int port, bool blocking);
void *publish(void *publisher);
void *probe_run(void *probe);

#endif

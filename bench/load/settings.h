/* What the command line says. */
#ifndef BENCH_SETTINGS_H
#define BENCH_SETTINGS_H

#include "publisher.h"

enum { EXIT_OK = 0, EXIT_VIOLATION = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3 };

struct settings {
    struct target publish, subscribe;
    const char *probe_path;
    int clients, loops, core, window;
    int64_t events, warmup, batch;
    double rate, settle, stall, max_seconds, probe_rate;
    size_t padding;
    struct processes server;
};

/* Ends the program with EXIT_USAGE if the options make no sense. */
struct settings read_settings(int count, char **words);

#endif

/* Clocks, histograms, and what the kernel knows about the measured processes. */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stdint.h>
#include <sys/types.h>

/* 64 buckets for each power of two: every value is kept to within 1.6 %, in a fixed amount of memory. An array
 * of all latencies would reach hundreds of megabytes at 10,000 clients and disturb what is measured. */
#define HISTOGRAM_STEPS 64
#define HISTOGRAM_BUCKETS (HISTOGRAM_STEPS * 59)
#define MAX_PROCESSES 16

struct histogram {
    uint64_t count;
    int64_t max;
    uint32_t bucket[HISTOGRAM_BUCKETS];
};

struct processes {
    pid_t pid[MAX_PROCESSES];
    int count;
};

int64_t now_ns(void);
void sleep_ns(int64_t duration);
void sleep_until(int64_t when);

void histogram_add(struct histogram *h, int64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
double histogram_quantile_ms(const struct histogram *h, double q);

double cpu_seconds(const struct processes *all);
double own_cpu_seconds(void);
long resident_kb(const struct processes *all);

#endif

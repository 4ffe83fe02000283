#define _GNU_SOURCE
#include "stats.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define NANO 1000000000LL

/* The monotonic clock is the same for every process of a machine, and its nanoseconds stay below 2^53, so that a
 * server which reads numbers as doubles gives the timestamp back unharmed. */
int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NANO + t.tv_nsec;
}

void sleep_until(int64_t when)
{
    struct timespec t = {.tv_sec = when / NANO, .tv_nsec = when % NANO};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
        continue;
}

void sleep_ns(int64_t duration)
{
    sleep_until(now_ns() + duration);
}

static int bucket_of(int64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return value < 0 ? 0 : (int)value;
    int exponent = 63 - __builtin_clzll((uint64_t)value);
    int step = (int)(value >> (exponent - 6)) & (HISTOGRAM_STEPS - 1);
    return (exponent - 5) * HISTOGRAM_STEPS + step;
}

/* The middle of a bucket: the inverse of bucket_of. */
static double value_of(int bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    int exponent = bucket / HISTOGRAM_STEPS + 5;
    double width = (double)(1LL << (exponent - 6));
    return (HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS + 0.5) * width;
}

void histogram_add(struct histogram *h, int64_t value)
{
    h->bucket[bucket_of(value)]++;
    h->count++;
    if (value > h->max)
        h->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
    into->count += from->count;
    if (from->max > into->max)
        into->max = from->max;
}

double histogram_quantile_ms(const struct histogram *h, double q)
{
    uint64_t wanted = (uint64_t)((double)h->count * q), seen = 0;
    if (h->count == 0)
        return 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen > wanted)
            return value_of(i) / 1e6;
    }
    return (double)h->max / 1e6;
}

static double clock_seconds(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) != 0)
        return 0;
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* User and system time of the processes. The CPU clock of a process is what /proc/PID/stat shows as utime + stime,
 * but in nanoseconds instead of ticks of 10 ms, which short runs need. */
double cpu_seconds(const struct processes *all)
{
    double total = 0;
    for (int i = 0; i < all->count; i++) {
        clockid_t clock;
        if (clock_getcpuclockid(all->pid[i], &clock) == 0)
            total += clock_seconds(clock);
    }
    return total;
}

double own_cpu_seconds(void)
{
    return clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

static long resident_pages(pid_t pid)
{
    char path[64];
    long size = 0, resident = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%ld %ld", &size, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident;
}

long resident_kb(const struct processes *all)
{
    long pages = 0;
    for (int i = 0; i < all->count; i++)
        pages += resident_pages(all->pid[i]);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

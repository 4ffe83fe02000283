/* Load generator for Server-Sent Events: N subscribers on one or more epoll loops, one keep-alive publisher, and a
 * probe of the health endpoint. Every event is counted and its place in the order checked; an event that is lost,
 * doubled, out of order or mixed with another makes the exit code 1. The result is one JSON object on stdout.
 *
 * It talks to 127.0.0.1 only. `load --help` lists the options; bench/README.md says what the figures mean. */
#define _GNU_SOURCE
#include "load/publisher.h"
#include "load/reader.h"
#include "load/settings.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READY_SECONDS 120
#define GRACE_MS 150 /* how long the loops continue reading after the last event, to see duplicates behind it */

struct loop {
    const struct settings *settings;
    struct stream *streams;
    int clients, started, epoll;
    atomic_bool *stop;
    struct tally tally;
    pthread_t thread;
};

struct run {
    struct settings *settings;
    struct loop *loops;
    atomic_bool stop;
    struct publisher *publisher;
    struct probe *probe;
    int64_t connected_after;
    long rss_before, rss_idle, rss_after;
    double cpu, own_cpu;
    bool reachable;
};

/* ---- subscribers ---- */

/* Begins one more connection. Only a window of them is under way at any time: a burst of thousands would overflow
 * the server's backlog, and then the kernel's retransmission timer would be measured, not the server. */
static void begin_connection(struct loop *loop)
{
    struct stream *s = &loop->streams[loop->started];
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = s};
    loop->started++;
    s->fd = dial(loop->settings->subscribe.port, false);
    if (s->fd < 0) {
        s->phase = PHASE_CLOSED;
        loop->tally.closed++;
        return;
    }
    epoll_ctl(loop->epoll, EPOLL_CTL_ADD, s->fd, &event);
}

static void keep_window_full(struct loop *loop)
{
    while (loop->started < loop->clients &&
           loop->started - (int)loop->tally.ready - (int)loop->tally.closed < loop->settings->window)
        begin_connection(loop);
}

static void send_request(struct loop *loop, struct stream *s)
{
    const struct target *target = &loop->settings->subscribe;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    char request[4096];
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n%s\r\n", target->path,
                          target->headers);
    if (send(s->fd, request, (size_t)length, MSG_NOSIGNAL) != length) {
        stream_close(s, &loop->tally);
        return;
    }
    s->phase = PHASE_HEAD;
    epoll_ctl(loop->epoll, EPOLL_CTL_MOD, s->fd, &event);
}

static void serve(struct loop *loop, struct stream *s, char *buffer)
{
    if (s->phase == PHASE_CONNECTING) {
        send_request(loop, s);
        return;
    }
    ssize_t n = recv(s->fd, buffer + CARRY_MAX, READ_MAX, MSG_DONTWAIT);
    if (n > 0)
        stream_feed(s, &loop->tally, buffer, (size_t)n, now_ns());
    else
        stream_close(s, &loop->tally);
}

static void *run_loop(void *argument)
{
    struct loop *loop = argument;
    struct epoll_event ready[256];
    char *buffer = malloc(CARRY_MAX + READ_MAX);
    while (!atomic_load_explicit(loop->stop, memory_order_relaxed)) {
        keep_window_full(loop);
        int n = epoll_wait(loop->epoll, ready, 256, 20);
        for (int i = 0; i < n; i++)
            serve(loop, ready[i].data.ptr, buffer);
    }
    free(buffer);
    return NULL;
}

static void start_loops(struct run *run)
{
    const struct settings *set = run->settings;
    run->loops = calloc((size_t)set->loops, sizeof *run->loops);
    for (int i = 0; i < set->loops; i++) {
        struct loop *loop = &run->loops[i];
        loop->settings = set;
        loop->stop = &run->stop;
        loop->clients = set->clients / set->loops + (i < set->clients % set->loops);
        loop->streams = calloc((size_t)loop->clients + 1, sizeof *loop->streams);
        loop->epoll = epoll_create1(EPOLL_CLOEXEC);
        loop->tally.warmup = set->warmup;
        loop->tally.total = set->warmup + set->events;
        pthread_create(&loop->thread, NULL, run_loop, loop);
    }
}

static long sum_ready(const struct run *run)
{
    long sum = 0;
    for (int i = 0; i < run->settings->loops; i++)
        sum += run->loops[i].tally.ready;
    return sum;
}

static long sum_closed(const struct run *run)
{
    long sum = 0;
    for (int i = 0; i < run->settings->loops; i++)
        sum += run->loops[i].tally.closed;
    return sum;
}

static long sum_delivered(const struct run *run)
{
    long sum = 0;
    for (int i = 0; i < run->settings->loops; i++)
        sum += run->loops[i].tally.delivered;
    return sum;
}

static int64_t last_delivery(const struct run *run)
{
    int64_t last = 0;
    for (int i = 0; i < run->settings->loops; i++)
        if (run->loops[i].tally.last_delivery > last)
            last = run->loops[i].tally.last_delivery;
    return last;
}

/* ---- the course of a run ---- */

/* Waits for the streams, then lets them settle, so that what an idle client costs can be read. */
static void connect_all(struct run *run)
{
    const struct settings *set = run->settings;
    int64_t begin = now_ns(), limit = begin + READY_SECONDS * 1000000000LL;
    run->rss_before = resident_kb(&set->server);
    start_loops(run);
    while (sum_ready(run) < set->clients && sum_closed(run) == 0 && now_ns() < limit)
        sleep_ns(2000000);
    run->connected_after = now_ns() - begin;
    run->reachable = sum_ready(run) == set->clients;
    if (!run->reachable)
        fprintf(stderr, "load: only %ld of %d streams were opened on port %d\n", sum_ready(run), set->clients,
                set->subscribe.port);
    sleep_ns((int64_t)(set->settle * 1e9));
    run->rss_idle = resident_kb(&set->server);
}

/* Returns when all events were delivered, or when nothing has come for the stall time. */
static void await_delivery(struct run *run, long wanted)
{
    int64_t stall = (int64_t)(run->settings->stall * 1e9), since = now_ns();
    long before = -1, delivered;
    while ((delivered = sum_delivered(run)) < wanted) {
        if (delivered != before)
            since = now_ns();
        else if (now_ns() - since > stall)
            return;
        before = delivered;
        sleep_ns(2000000);
    }
}

static struct publisher *new_publisher(const struct settings *set, int64_t first, int64_t count)
{
    struct publisher *p = calloc(1, sizeof *p);
    p->target = set->publish;
    p->first = first;
    p->count = count;
    p->batch = set->batch;
    p->rate = set->rate;
    p->padding = set->padding;
    return p;
}

/* The first events meet cold caches and code that was never run: they are checked, but not timed. */
static bool warm_up(struct run *run)
{
    struct settings *set = run->settings;
    struct publisher *p = new_publisher(set, 0, set->warmup);
    publish(p);
    await_delivery(run, set->warmup * set->clients);
    bool posted = p->posted == set->warmup;
    free(p);
    return posted;
}

static void measure(struct run *run)
{
    struct settings *set = run->settings;
    pthread_t publisher, prober;
    run->publisher = new_publisher(set, set->warmup, set->events);
    run->probe = calloc(1, sizeof *run->probe);
    run->probe->target = (struct target){.port = set->publish.port, .path = set->probe_path, .headers = ""};
    run->probe->interval = (int64_t)(1e9 / set->probe_rate);
    if (set->max_seconds > 0)
        run->publisher->deadline = now_ns() + (int64_t)(set->max_seconds * 1e9);
    double cpu = cpu_seconds(&set->server), own = own_cpu_seconds();
    if (set->probe_path)
        pthread_create(&prober, NULL, probe_run, run->probe);
    pthread_create(&publisher, NULL, publish, run->publisher);
    pthread_join(publisher, NULL);
    await_delivery(run, (set->warmup + run->publisher->posted) * set->clients);
    run->cpu = cpu_seconds(&set->server) - cpu;
    run->own_cpu = own_cpu_seconds() - own;
    run->rss_after = resident_kb(&set->server);
    atomic_store(&run->probe->stop, true);
    if (set->probe_path)
        pthread_join(prober, NULL);
}

static void stop_loops(struct run *run)
{
    sleep_ns(GRACE_MS * 1000000LL);
    atomic_store(&run->stop, true);
    for (int i = 0; i < run->settings->loops; i++)
        pthread_join(run->loops[i].thread, NULL);
}

/* ---- the result ---- */

struct result {
    long delivered, expected, missing, duplicated, reordered, corrupt, other, closed;
    struct histogram latency;
};

static struct result *collect(const struct run *run)
{
    struct result *all = calloc(1, sizeof *all);
    int64_t published = run->settings->warmup + run->publisher->posted;
    for (int i = 0; i < run->settings->loops; i++) {
        const struct loop *loop = &run->loops[i];
        all->delivered += loop->tally.delivered;
        all->duplicated += loop->tally.duplicated;
        all->reordered += loop->tally.reordered;
        all->corrupt += loop->tally.corrupt;
        all->other += loop->tally.other;
        all->closed += loop->tally.closed;
        histogram_merge(&all->latency, &loop->tally.latency);
        for (int j = 0; j < loop->clients; j++)
            all->missing += stream_missing(&loop->streams[j], published);
    }
    all->expected = (long)published * run->settings->clients;
    return all;
}

static void print_times(const char *name, const struct histogram *h)
{
    printf("\"%s\":{\"count\":%llu,\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"max\":%.4f},", name,
           (unsigned long long)h->count, histogram_quantile_ms(h, 0.5), histogram_quantile_ms(h, 0.9),
           histogram_quantile_ms(h, 0.99), (double)h->max / 1e6);
}

static void print_memory(const struct run *run)
{
    int clients = run->settings->clients;
    double per_client = clients ? (double)(run->rss_idle - run->rss_before) / clients : 0;
    printf("\"rss_kb\":{\"before\":%ld,\"idle\":%ld,\"after\":%ld,\"per_client\":%.3f},", run->rss_before,
           run->rss_idle, run->rss_after, per_client);
}

static void print_rates(const struct run *run, const struct result *all)
{
    const struct publisher *p = run->publisher;
    double timed = (double)all->latency.count, posted = (double)p->posted;
    double answering = (double)(p->ended - p->started) / 1e9;
    double elapsed = (double)(last_delivery(run) - p->started) / 1e9;
    if (run->settings->clients == 0 || elapsed < answering)
        elapsed = answering;
    printf("\"connect_s\":%.4f,\"elapsed_s\":%.4f,", (double)run->connected_after / 1e9, elapsed);
    printf("\"deliveries_per_s\":%.1f,\"events_per_s\":%.1f,", timed / elapsed, posted / answering);
    printf("\"cpu_s\":%.4f,\"cpu_us_per_delivery\":%.4f,", run->cpu, timed > 0 ? run->cpu * 1e6 / timed : 0);
    printf("\"server_cpu_share\":%.3f,\"load_cpu_share\":%.3f,", run->cpu / elapsed, run->own_cpu / elapsed);
}

static int report(const struct run *run)
{
    struct result *all = collect(run);
    bool ok = all->missing == 0 && all->duplicated == 0 && all->reordered == 0 && all->corrupt == 0 &&
              all->closed == 0 && run->publisher->refused == 0 && run->probe->failures == 0;
    printf("{\"ok\":%s,\"clients\":%d,\"batch\":%lld,\"rate\":%g,\"published\":%ld,\"refused\":%ld,",
           ok ? "true" : "false", run->settings->clients, (long long)run->settings->batch, run->settings->rate,
           (long)run->publisher->posted, (long)run->publisher->refused);
    printf("\"expected\":%ld,\"delivered\":%ld,\"missing\":%ld,\"duplicated\":%ld,\"reordered\":%ld,", all->expected,
           all->delivered, all->missing, all->duplicated, all->reordered);
    printf("\"corrupt\":%ld,\"closed\":%ld,\"other\":%ld,", all->corrupt, all->closed, all->other);
    print_rates(run, all);
    print_memory(run);
    print_times("latency_ms", &all->latency);
    print_times("answer_ms", &run->publisher->answer);
    print_times("probe_ms", &run->probe->answer);
    printf("\"probe_failures\":%ld}\n", run->probe->failures);
    free(all);
    return ok ? EXIT_OK : EXIT_VIOLATION;
}

/* ---- main ---- */

static void prepare_process(const struct settings *set)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < (rlim_t)set->clients + 64) {
        fprintf(stderr, "load: %d clients need more than the %ld open files that are allowed; raise ulimit -n\n",
                set->clients, (long)files.rlim_cur);
        exit(EXIT_USAGE);
    }
    if (set->core >= 0) {
        cpu_set_t cores;
        CPU_ZERO(&cores);
        CPU_SET((size_t)set->core, &cores);
        if (sched_setaffinity(0, sizeof cores, &cores) != 0)
            perror("load: cannot pin to the core");
    }
}

int main(int count, char **words)
{
    struct settings set = read_settings(count, words);
    struct run run = {.settings = &set};
    prepare_process(&set);
    payload_init(set.padding);
    connect_all(&run);
    if (!run.reachable || !warm_up(&run))
        return EXIT_UNREACHABLE;
    measure(&run);
    stop_loops(&run);
    return report(&run);
}

#define _GNU_SOURCE
#include "settings.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char USAGE[] =
    "usage: load --port N [options]        (everything happens on 127.0.0.1)\n"
    "  --port N            the server's port\n"
    "  --publish-port N    where that differs: the port for publishing and probing\n"
    "  --subscribe PATH    the stream (/api/stream)\n"
    "  --publish PATH      where events are posted (/api/agent/data)\n"
    "  --clients N         subscribers (100)\n"
    "  --events N          events to publish (1000); fewer if --max-seconds runs out\n"
    "  --warmup N          events before those: checked, not timed (0)\n"
    "  --batch N           events a POST, as a JSON array (1: a bare object)\n"
    "  --rate R            POSTs a second (0: each as soon as the last is answered)\n"
    "  --max-seconds S     publish no longer than this (0: no limit)\n"
    "  --settle S          pause between the last connect and the first event (1)\n"
    "  --stall S           give up when no event has come for so long (5)\n"
    "  --padding N         letters of text in an event (60: events of about 150 bytes)\n"
    "  --loops N           epoll loops, each a thread (1)\n"
    "  --window N          connections under way at the same time (256)\n"
    "  --core N            pin this program to a core\n"
    "  --pids A,B          the server's processes, for CPU time and memory\n"
    "  --probe PATH        ask for this path during the run\n"
    "  --probe-rate R      times a second (50)\n"
    "  --publish-header L --subscribe-header L --content-type T --before TEXT --after TEXT\n"
    "                      what a server wants around its requests; --before and --after surround the event\n"
    "exit: 0 all delivered in order, once; 1 a violation; 2 usage; 3 server not reachable\n";

static const struct option OPTIONS[] = {
    {"port", 1, NULL, 'p'},           {"publish-port", 1, NULL, 'q'},     {"subscribe", 1, NULL, 's'},
    {"publish", 1, NULL, 'P'},        {"clients", 1, NULL, 'n'},          {"events", 1, NULL, 'k'},
    {"warmup", 1, NULL, 'w'},         {"batch", 1, NULL, 'b'},            {"rate", 1, NULL, 'r'},
    {"max-seconds", 1, NULL, 'm'},    {"settle", 1, NULL, 'e'},           {"stall", 1, NULL, 'l'},
    {"padding", 1, NULL, 'd'},        {"loops", 1, NULL, 'o'},            {"window", 1, NULL, 'W'},
    {"core", 1, NULL, 'c'},           {"pids", 1, NULL, 'i'},             {"probe", 1, NULL, 'x'},
    {"probe-rate", 1, NULL, 'y'},     {"publish-header", 1, NULL, 'H'},   {"subscribe-header", 1, NULL, 'S'},
    {"content-type", 1, NULL, 'T'},   {"before", 1, NULL, 'B'},           {"after", 1, NULL, 'A'},
    {"help", 0, NULL, 'h'},           {NULL, 0, NULL, 0}};

static const char *header_line(const char *header)
{
    char *line = NULL;
    if (asprintf(&line, "%s\r\n", header) < 0)
        exit(EXIT_USAGE);
    return line;
}

static void read_pids(struct processes *server, char *list)
{
    for (char *word = strtok(list, ","); word && server->count < MAX_PROCESSES; word = strtok(NULL, ","))
        server->pid[server->count++] = atoi(word);
}

static void set_text(struct settings *set, int option, char *value)
{
    switch (option) {
    case 's': set->subscribe.path = value; break;
    case 'P': set->publish.path = value; break;
    case 'x': set->probe_path = value; break;
    case 'H': set->publish.headers = header_line(value); break;
    case 'S': set->subscribe.headers = header_line(value); break;
    case 'T': set->publish.content_type = value; break;
    case 'B': set->publish.before = value; break;
    case 'A': set->publish.after = value; break;
    case 'i': read_pids(&set->server, value); break;
    default: fputs(USAGE, option == 'h' ? stdout : stderr); exit(option == 'h' ? EXIT_OK : EXIT_USAGE);
    }
}

static void set_option(struct settings *set, int option, char *value)
{
    switch (option) {
    case 'p': set->subscribe.port = atoi(value); break;
    case 'q': set->publish.port = atoi(value); break;
    case 'n': set->clients = atoi(value); break;
    case 'k': set->events = atoll(value); break;
    case 'w': set->warmup = atoll(value); break;
    case 'b': set->batch = atoll(value); break;
    case 'r': set->rate = atof(value); break;
    case 'm': set->max_seconds = atof(value); break;
    case 'e': set->settle = atof(value); break;
    case 'l': set->stall = atof(value); break;
    case 'd': set->padding = (size_t)atol(value); break;
    case 'o': set->loops = atoi(value); break;
    case 'W': set->window = atoi(value); break;
    case 'c': set->core = atoi(value); break;
    case 'y': set->probe_rate = atof(value); break;
    default: set_text(set, option, value);
    }
}

struct settings read_settings(int count, char **words)
{
    struct settings set = {
        .publish = {.path = "/api/agent/data", .headers = "", .content_type = "application/json",
                    .before = "", .after = ""},
        .subscribe = {.path = "/api/stream", .headers = ""},
        .clients = 100, .loops = 1, .core = -1, .window = 256, .events = 1000, .batch = 1,
        .settle = 1, .stall = 5, .probe_rate = 50, .padding = 60};
    for (int option; (option = getopt_long(count, words, "", OPTIONS, NULL)) != -1;)
        set_option(&set, option, optarg);
    if (set.publish.port == 0)
        set.publish.port = set.subscribe.port;
    if (set.subscribe.port <= 0 || set.loops < 1 || set.clients < 0 || set.events < 0 || set.warmup < 0 ||
        set.batch < 1 || set.window < 1 || set.probe_rate <= 0 || set.padding > 60000) {
        fputs(USAGE, stderr);
        exit(EXIT_USAGE);
    }
    return set;
}

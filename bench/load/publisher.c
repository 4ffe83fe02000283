#define _GNU_SOURCE
#include "publisher.h"

#include "payload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define HEAD_MAX 4096
#define ANSWER_MAX (256 * 1024)
#define ANSWER_SECONDS 30

struct connection {
    int fd, port;
    char *answer;
};

/* Returns a socket that is connected to the port on loopback, or connecting if it is not to block; -1 on failure. */
int dial(int port, bool blocking)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}

/* ---- HTTP ---- */

static bool open_connection(struct connection *c)
{
    struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    c->fd = dial(c->port, true);
    if (c->fd < 0)
        return false;
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return true;
}

static void close_connection(struct connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static bool send_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        length -= (size_t)n;
    }
    return true;
}

/* Returns whether the response received so far is complete. */
static bool answer_complete(char *answer, size_t length)
{
    char *body = strstr(answer, "\r\n\r\n");
    if (!body)
        return false;
    body += 4;
    char *field = strcasestr(answer, "content-length:");
    if (field && field < body)
        return length - (size_t)(body - answer) >= strtoul(field + 15, NULL, 10);
    field = strcasestr(answer, "transfer-encoding: chunked");
    if (field && field < body)
        return length >= 5 && memcmp(answer + length - 5, "0\r\n\r\n", 5) == 0;
    return strncmp(answer + 9, "204", 3) == 0;
}

/* Returns the status, or -1 if there was no complete answer. */
static int read_answer(struct connection *c)
{
    size_t length = 0;
    while (length < ANSWER_MAX - 1) {
        ssize_t n = recv(c->fd, c->answer + length, ANSWER_MAX - 1 - length, 0);
        if (n <= 0)
            return -1;
        length += (size_t)n;
        c->answer[length] = '\0';
        if (answer_complete(c->answer, length))
            return atoi(c->answer + 9); /* after "HTTP/1.1 " */
    }
    return -1;
}

static int exchange(struct connection *c, const char *request, size_t length)
{
    int status = -1;
    if (c->fd < 0 && !open_connection(c))
        return -1;
    if (send_all(c->fd, request, length))
        status = read_answer(c);
    if (status < 0 || strcasestr(c->answer, "connection: close"))
        close_connection(c);
    return status;
}

/* ---- the publisher ---- */

static size_t write_body(char *out, const struct publisher *p, int64_t seq, int64_t events)
{
    char *end = stpcpy(out, p->target.before);
    if (p->batch > 1)
        *end++ = '[';
    for (int64_t i = 0; i < events; i++) {
        if (i > 0)
            *end++ = ',';
        end += payload_write(end, seq + i, now_ns());
    }
    if (p->batch > 1)
        *end++ = ']';
    return (size_t)(stpcpy(end, p->target.after) - out);
}

static int post(struct publisher *p, struct connection *c, char *request, int64_t seq, int64_t events)
{
    /* Head and body leave in one segment: the body is written first, the head then right in front of it. */
    char head[HEAD_MAX];
    size_t length = write_body(request + HEAD_MAX, p, seq, events);
    int head_length = snprintf(head, sizeof head,
                               "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\n%s"
                               "Content-Length: %zu\r\n\r\n",
                               p->target.path, p->target.content_type, p->target.headers, length);
    char *start = request + HEAD_MAX - head_length;
    memcpy(start, head, (size_t)head_length);
    int64_t sent = now_ns();
    int status = exchange(c, start, (size_t)head_length + length);
    histogram_add(&p->answer, now_ns() - sent);
    return status;
}

static void complain(struct publisher *p, int status, const char *answer)
{
    if (atomic_fetch_add(&p->refused, 1) == 0)
        fprintf(stderr, "load: POST %s was answered with %d: %.300s\n", p->target.path, status,
                status < 0 ? "(no answer)" : answer);
}

/* Publishes events of rising number. A POST that was refused is not repeated: it ends the run, for the numbers
 * after it would hide what was lost. */
void *publish(void *argument)
{
    struct publisher *p = argument;
    struct connection c = {.fd = -1, .port = p->target.port, .answer = calloc(1, ANSWER_MAX)};
    size_t around = strlen(p->target.before) + strlen(p->target.after);
    char *request = malloc(HEAD_MAX + around + (size_t)p->batch * (p->padding + PAYLOAD_MARGIN) + 2);
    open_connection(&c);
    p->started = now_ns();
    for (int64_t done = 0, turn = 0; done < p->count; turn++) {
        int64_t events = p->count - done < p->batch ? p->count - done : p->batch;
        if (p->rate > 0)
            sleep_until(p->started + (int64_t)((double)turn * 1e9 / p->rate));
        if (p->deadline && now_ns() > p->deadline)
            break;
        int status = post(p, &c, request, p->first + done, events);
        if (status < 200 || status > 299) {
            complain(p, status, c.answer);
            break;
        }
        done += events;
        atomic_fetch_add(&p->posted, events);
    }
    p->ended = now_ns();
    close_connection(&c);
    free(request);
    free(c.answer);
    return NULL;
}

/* ---- the probe ---- */

void *probe_run(void *argument)
{
    struct probe *p = argument;
    struct connection c = {.fd = -1, .port = p->target.port, .answer = calloc(1, ANSWER_MAX)};
    char head[HEAD_MAX];
    int length = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", p->target.path,
                          p->target.headers);
    for (int64_t due = now_ns(); !atomic_load(&p->stop); due += p->interval) {
        sleep_until(due);
        int64_t sent = now_ns();
        if (exchange(&c, head, (size_t)length) == 200)
            histogram_add(&p->answer, now_ns() - sent);
        else
            p->failures++;
    }
    close_connection(&c);
    free(c.answer);
    return NULL;
}

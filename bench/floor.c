/* The floor: what fan-out costs if nothing is done but the system calls. One epoll loop; a POST's body is sent to
 * each subscriber with one send() and then answered. No history, no filters, no queues, no hang-up handling beyond
 * closing; a server that sends each event to each client by itself cannot be cheaper than this.
 *
 * usage: floor PORT    GET anything subscribes, POST anything publishes; on 127.0.0.1 only */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX (128 * 1024)
#define MAX_FILES 65536

static const char STREAM_HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: welcome\n";
static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static int subscribers[MAX_FILES], subscriber_count;

/* The one request that may be under way in parts: the publisher's. */
static char request[REQUEST_MAX];
static size_t request_length;

static int listen_on(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0) {
        perror("floor: cannot listen");
        exit(1);
    }
    return fd;
}

/* Sockets stay blocking: a send waits for room, so that nothing is lost and no buffer of our own is needed. */
static void send_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the peer is gone; epoll reports it again, as an empty read */
        bytes += n;
        length -= (size_t)n;
    }
}

static void accept_one(int epoll, int listener)
{
    int one = 1, fd = accept(listener, NULL, NULL);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void hang_up(int fd)
{
    for (int i = 0; i < subscriber_count; i++) {
        if (subscribers[i] == fd) {
            subscribers[i] = subscribers[--subscriber_count];
            break;
        }
    }
    request_length = 0;
    close(fd);
}

static void publish(int publisher, const char *body, size_t length)
{
    static char frame[REQUEST_MAX + 16];
    size_t size = (size_t)snprintf(frame, sizeof frame, "data: %.*s\n\n", (int)length, body);
    for (int i = 0; i < subscriber_count; i++)
        send_all(subscribers[i], frame, size);
    send_all(publisher, ANSWER, sizeof ANSWER - 1);
}

/* Returns true if the request was complete and has been answered. */
static bool handle_request(int fd)
{
    char *body = memmem(request, request_length, "\r\n\r\n", 4);
    if (!body)
        return false;
    body += 4;
    if (request[0] == 'G') {
        send_all(fd, STREAM_HEAD, sizeof STREAM_HEAD - 1);
        subscribers[subscriber_count++] = fd;
        return true;
    }
    const char *field = strcasestr(request, "content-length:");
    size_t length = field ? strtoul(field + 15, NULL, 10) : 0;
    if (request_length - (size_t)(body - request) < length)
        return false;
    publish(fd, body, length);
    return true;
}

static void read_from(int fd)
{
    ssize_t n = recv(fd, request + request_length, sizeof request - 1 - request_length, 0);
    if (n <= 0) {
        hang_up(fd);
        return;
    }
    request_length += (size_t)n;
    request[request_length] = '\0';
    if (handle_request(fd) || request_length == sizeof request - 1)
        request_length = 0;
}

int main(int count, char **words)
{
    if (count != 2) {
        fprintf(stderr, "usage: floor PORT\n");
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < MAX_FILES ? files.rlim_max : MAX_FILES;
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = listen_on(atoi(words[1])), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ready[256], event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll, ready, 256, -1);
        for (int i = 0; i < n; i++) {
            if (ready[i].data.fd == listener)
                accept_one(epoll, listener);
            else
                read_from(ready[i].data.fd);
        }
    }
}

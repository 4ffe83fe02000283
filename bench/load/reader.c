#define _GNU_SOURCE
#include "reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- order, loss, duplicates ---- */

static void start_bitmap(struct stream *s, int64_t total)
{
    s->seen = calloc((size_t)total / 8 + 1, 1);
    for (int64_t i = 0; i < s->next; i++)
        s->seen[i / 8] |= (uint8_t)(1 << (i % 8));
    s->highest = s->next - 1;
}

/* Returns true if the event came for the first time. */
static bool note_out_of_turn(struct stream *s, struct tally *tally, int64_t seq)
{
    uint8_t bit = (uint8_t)(1 << (seq % 8));
    if (!s->seen)
        start_bitmap(s, tally->total);
    if (s->seen[seq / 8] & bit) {
        tally->duplicated++;
        return false;
    }
    s->seen[seq / 8] |= bit;
    if (seq < s->highest)
        tally->reordered++;
    else
        s->highest = seq;
    return true;
}

static void note_event(struct stream *s, struct tally *tally, int64_t now)
{
    int64_t seq = s->payload.seq;
    if (seq >= tally->total) {
        tally->corrupt++;
        return;
    }
    if (!s->seen && seq == s->next)
        s->next++;
    else if (!note_out_of_turn(s, tally, seq))
        return;
    if (seq >= tally->warmup)
        histogram_add(&tally->latency, now - s->payload.sent);
    atomic_fetch_add_explicit(&tally->delivered, 1, memory_order_relaxed);
    atomic_store_explicit(&tally->last_delivery, now, memory_order_relaxed);
}

long stream_missing(const struct stream *s, int64_t published)
{
    long missing = 0;
    if (!s->seen)
        return (long)(published - s->next);
    for (int64_t i = 0; i < published; i++)
        missing += !(s->seen[i / 8] & (1 << (i % 8)));
    return missing;
}

/* ---- server-sent events ---- */

static void end_event(struct stream *s, struct tally *tally, int64_t now)
{
    if (s->data_lines == 0)
        return;
    if (s->data_lines > 1 || s->kind == PAYLOAD_CORRUPT)
        tally->corrupt++;
    else if (s->kind == PAYLOAD_OTHER)
        tally->other++;
    else
        note_event(s, tally, now);
    s->data_lines = 0;
}

static bool starts_with(const char *line, size_t length, const char *word)
{
    size_t n = strlen(word);
    return length >= n && memcmp(line, word, n) == 0;
}

static void take_line(struct stream *s, struct tally *tally, const char *line, size_t length, int64_t now)
{
    if (length > 0 && line[length - 1] == '\r')
        length--;
    if (length == 0) {
        end_event(s, tally, now);
    } else if (starts_with(line, length, "data:")) {
        size_t skip = length > 5 && line[5] == ' ' ? 6 : 5;
        s->data_lines++;
        s->kind = length == skip ? PAYLOAD_OTHER
                                 : payload_read(line + skip, length - skip, &tally->hints, &s->payload);
    } else if (line[0] != ':' && !starts_with(line, length, "id:") && !starts_with(line, length, "event:") &&
               !starts_with(line, length, "retry:")) {
        tally->corrupt++; /* no server writes such a line on purpose: a frame was cut or mixed */
    }
}

static void keep(struct stream *s, struct tally *tally, const char *rest, size_t length)
{
    if (length > CARRY_MAX) {
        fprintf(stderr, "load: a line of more than %d bytes\n", CARRY_MAX);
        stream_close(s, tally);
        return;
    }
    if (length == 0) {
        free(s->carry);
        s->carry = NULL;
    } else {
        char *kept = malloc(length);
        memcpy(kept, rest, length);
        free(s->carry);
        s->carry = kept;
    }
    s->carry_length = length;
}

/* Puts the rest of the last read in front of the new bytes. */
static char *prepend_carry(struct stream *s, char *bytes)
{
    if (s->carry_length)
        memcpy(bytes - s->carry_length, s->carry, s->carry_length);
    return bytes - s->carry_length;
}

static void feed_lines(struct stream *s, struct tally *tally, char *bytes, size_t length, int64_t now)
{
    char *end = bytes + length, *line = prepend_carry(s, bytes), *newline;
    while ((newline = memchr(line, '\n', (size_t)(end - line)))) {
        take_line(s, tally, line, (size_t)(newline - line), now);
        line = newline + 1;
    }
    if (line < end || s->carry_length)
        keep(s, tally, line, (size_t)(end - line));
}

/* ---- chunked transfer coding ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes one byte of the framing between two chunks' data. Returns false at the last chunk and at nonsense. */
static bool chunk_framing(struct stream *s, char c)
{
    int digit = hex_digit(c);
    if (s->chunk == CHUNK_END) { /* the CRLF after a chunk's data */
        if (c == '\n')
            s->chunk = CHUNK_SIZE;
        return c == '\n' || c == '\r';
    }
    if (c == '\n') {
        s->chunk = CHUNK_DATA;
        return s->chunk_left > 0;
    }
    if (c == '\r' || c == ';')
        s->chunk = CHUNK_EXTENSION;
    if (s->chunk == CHUNK_EXTENSION)
        return true;
    s->chunk_left = s->chunk_left * 16 + (size_t)digit;
    return digit >= 0 && s->chunk_left < (1u << 30);
}

/* Moves the chunks' data together, in place. Returns the length of the data. */
static size_t dechunk(struct stream *s, struct tally *tally, char *bytes, size_t length)
{
    size_t in = 0, out = 0;
    while (in < length) {
        if (s->chunk != CHUNK_DATA) {
            if (!chunk_framing(s, bytes[in++])) {
                stream_close(s, tally);
                break;
            }
            continue;
        }
        size_t take = length - in < s->chunk_left ? length - in : s->chunk_left;
        memmove(bytes + out, bytes + in, take);
        in += take;
        out += take;
        s->chunk_left -= take;
        if (s->chunk_left == 0)
            s->chunk = CHUNK_END;
    }
    return out;
}

/* ---- the response ---- */

static void feed_body(struct stream *s, struct tally *tally, char *bytes, size_t length, int64_t now)
{
    if (s->chunked)
        length = dechunk(s, tally, bytes, length);
    feed_lines(s, tally, bytes, length, now);
}

/* Reads the head. A stream is ready once the server has answered 200 with an event stream. */
static bool take_head(struct stream *s, char *head)
{
    if (!strstr(head, " 200 ") || !strcasestr(head, "text/event-stream")) {
        fprintf(stderr, "load: the stream was answered with: %.300s\n", head);
        return false;
    }
    s->chunked = strcasestr(head, "transfer-encoding: chunked") != NULL;
    s->phase = PHASE_BODY;
    return true;
}

static void feed_head(struct stream *s, struct tally *tally, char *bytes, size_t length, int64_t now)
{
    char *head = prepend_carry(s, bytes), *end = bytes + length;
    char *stop = memmem(head, (size_t)(end - head), "\r\n\r\n", 4);
    if (!stop) {
        keep(s, tally, head, (size_t)(end - head));
        return;
    }
    stop[2] = '\0';
    keep(s, tally, NULL, 0);
    if (!take_head(s, head)) {
        stream_close(s, tally);
        return;
    }
    atomic_fetch_add(&tally->ready, 1);
    if (stop + 4 < end)
        feed_body(s, tally, stop + 4, (size_t)(end - stop - 4), now);
}

void stream_feed(struct stream *s, struct tally *tally, char *buffer, size_t length, int64_t now)
{
    char *bytes = buffer + CARRY_MAX;
    if (s->phase == PHASE_HEAD)
        feed_head(s, tally, bytes, length, now);
    else if (s->phase == PHASE_BODY)
        feed_body(s, tally, bytes, length, now);
}

void stream_close(struct stream *s, struct tally *tally)
{
    if (s->phase == PHASE_CLOSED)
        return;
    s->phase = PHASE_CLOSED;
    tally->closed++;
    close(s->fd);
}

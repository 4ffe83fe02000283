#define _GNU_SOURCE
#include "payload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS 26

static const char KEY_TEXT[] = "\"text\":\"";
static const char KEY_SEQ[] = "\"seq\":";
static const char KEY_SENT[] = "\"sent\":";

/* One row of padding for each letter. An event's padding is all one letter, chosen by its number: two frames that
 * were mixed, even at a place where the JSON stays valid, no longer match. */
static char *rows[LETTERS];
static size_t row_length;

void payload_init(size_t padding)
{
    row_length = padding;
    for (int i = 0; i < LETTERS; i++) {
        rows[i] = malloc(padding + 1);
        memset(rows[i], 'a' + i, padding);
        rows[i][padding] = '\0';
    }
}

size_t payload_write(char *out, int64_t seq, int64_t sent)
{
    return (size_t)sprintf(out,
                           "{\"type\":\"transcript\",\"participant\":\"user_1\",\"text\":\"%s\","
                           "\"seq\":%lld,\"sent\":%lld}",
                           rows[seq % LETTERS], (long long)seq, (long long)sent);
}

/* Returns what follows the key, or NULL. */
static const char *after_key(const char *line, size_t length, const char *key, size_t key_length, size_t *hint)
{
    if (*hint + key_length <= length && memcmp(line + *hint, key, key_length) == 0)
        return line + *hint + key_length;
    const char *found = memmem(line, length, key, key_length);
    if (!found)
        return NULL;
    *hint = (size_t)(found - line);
    return found + key_length;
}

/* Reads digits and requires something after them, so that a number cut off at the end is not taken for a smaller
 * one. Returns the end of the number, or NULL. */
static const char *read_number(const char *p, const char *end, int64_t *value)
{
    int64_t n = 0;
    const char *start;
    while (p < end && *p == ' ')
        p++;
    for (start = p; p < end && *p >= '0' && *p <= '9' && p - start < 18; p++)
        n = n * 10 + (*p - '0');
    *value = n;
    return p > start && p < end ? p : NULL;
}

static bool padding_matches(const char *text, const char *end, int64_t seq)
{
    if ((size_t)(end - text) <= row_length || text[row_length] != '"')
        return false;
    return memcmp(text, rows[seq % LETTERS], row_length) == 0;
}

enum payload_kind payload_read(const char *line, size_t length, struct payload_hints *hints, struct payload *out)
{
    const char *end = line + length;
    const char *text = after_key(line, length, KEY_TEXT, sizeof KEY_TEXT - 1, &hints->text);
    const char *seq = after_key(line, length, KEY_SEQ, sizeof KEY_SEQ - 1, &hints->seq);
    const char *sent = after_key(line, length, KEY_SENT, sizeof KEY_SENT - 1, &hints->sent);
    if (!text && !seq && !sent)
        return PAYLOAD_OTHER;
    if (!text || !seq || !sent || line[0] != '{' || end[-1] != '}')
        return PAYLOAD_CORRUPT;
    const char *rest = read_number(sent, end, &out->sent);
    if (!rest || !read_number(seq, end, &out->seq) || !padding_matches(text, end, out->seq))
        return PAYLOAD_CORRUPT;
    if (memmem(rest, (size_t)(end - rest), KEY_SENT, sizeof KEY_SENT - 1))
        return PAYLOAD_CORRUPT;
    return PAYLOAD_OURS;
}

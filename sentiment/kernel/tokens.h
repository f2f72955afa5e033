/* Read tokens from UTF-8, and hash their bytes. */

#ifndef TOKENS_H
#define TOKENS_H

#include <stdint.h>
#include <stddef.h>
#include <string.h>

enum { OTHER, WORD, SPACE }; /* classes of characters */

static inline uint64_t mixed(uint64_t value) {
    value *= UINT64_C(0x9E3779B97F4A7C15);
    return value ^ value >> 32;
}

static inline uint64_t hash_bytes(const uint8_t *bytes, size_t size) {
    uint64_t hash = size;
    while (size >= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = mixed(hash ^ word);
        bytes += 8;
        size -= 8;
    }
    uint64_t last = 0;
    for (size_t i = 0; i < size; i++)
        last |= (uint64_t)bytes[i] << 8 * i;
    return mixed(mixed(hash ^ last));
}

static inline uint32_t code_point(const uint8_t **at) {
    const uint8_t *p = *at;
    if (p[0] < 0x80) {
        *at = p + 1;
        return p[0];
    }
    if (p[0] < 0xE0) {
        *at = p + 2;
        return (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
    }
    if (p[0] < 0xF0) {
        *at = p + 3;
        return (p[0] & 0xFu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    }
    *at = p + 4;
    return (p[0] & 7u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
}

/* Return the end of the token that begins at `at`, which is before `end`, or NULL if a character of
 * the class SPACE is there; then `next` is behind it. */
static inline const uint8_t *token_end(const uint8_t *at, const uint8_t *end, const uint8_t *classes,
                                       const uint8_t **next) {
    if (classes == NULL) { /* each line is a token */
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        *next = stop ? stop + 1 : end;
        return stop ? stop : end;
    }
    const uint8_t *stop = at;
    uint8_t class = classes[code_point(&stop)];
    if (class == WORD)
        for (const uint8_t *after = stop; after < end && classes[code_point(&after)] == WORD;)
            stop = after;
    *next = stop;
    return class == SPACE ? NULL : stop;
}

#endif

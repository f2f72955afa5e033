/* Keys of n-grams: the numbers of up to three tokens, see sentiment/ngram_keys.py. */

#ifndef KEYS_H
#define KEYS_H

#include <stdint.h>

/* bits of each token's number; and how often an n-gram counts in a text at most */
enum { BITS = 21, MAX_COUNT = 255 };
static const int64_t UNKNOWN = -1;

/* Return a key with other numbers of its tokens, UNKNOWN if a token has -1 or no number. */
static inline int64_t translated(int64_t key, const int64_t *numbers, int64_t tokens) {
    int64_t mask = (1 << BITS) - 1;
    int64_t first = key >> 2 * BITS, second = key >> BITS & mask, third = key & mask;
    if (first < 0 || first >= tokens || second >= tokens || third >= tokens)
        return UNKNOWN;
    int64_t each[] = {numbers[first], numbers[second], numbers[third]};
    if (each[0] < 0 || each[1] < 0 || each[2] < 0)
        return UNKNOWN;
    return each[0] << 2 * BITS | each[1] << BITS | each[2];
}

#endif

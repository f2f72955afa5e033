/* Lists of columns, in which NONE stands for no column. */

#ifndef COLUMNS_H
#define COLUMNS_H

#include <stdint.h>

static const uint32_t NONE = UINT32_MAX;

/* Move the columns that are not NONE to `found`, which may be `columns`, and return how many they
 * are. */
static inline int64_t keep(const uint32_t *columns, int64_t count, uint32_t *found) {
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++) {
        found[kept] = columns[i];
        kept += columns[i] != NONE;
    }
    return kept;
}

/* Sort by least significant digits; `spare` is as long as `values`. Returns the sorted array. */
static inline uint32_t *sorted(uint32_t *values, uint32_t *spare, int64_t count, uint32_t bits) {
    enum { DIGIT = 8, BUCKETS = 1 << DIGIT };
    for (uint32_t shift = 0; shift < bits; shift += DIGIT) {
        int64_t starts[BUCKETS + 1] = {0};
        for (int64_t i = 0; i < count; i++)
            starts[(values[i] >> shift & (BUCKETS - 1)) + 1]++;
        for (int64_t digit = 0; digit < BUCKETS; digit++)
            starts[digit + 1] += starts[digit];
        for (int64_t i = 0; i < count; i++)
            spare[starts[values[i] >> shift & (BUCKETS - 1)]++] = values[i];
        uint32_t *swap = values;
        values = spare;
        spare = swap;
    }
    return values;
}

#endif

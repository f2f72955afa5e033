/* Merge the n-grams of shards, and reduce the rows of a shard to the merged ones, as
 * sentiment/merging.py and sentiment/ngrams.py do.
 *
 * The arrays come from files. A function returns -1 if their values leave the arrays or are not in
 * order.
 */

#include <stdint.h>
#include <stdlib.h>

#include "keys.h"

/* Write the keys with the `numbers` of their tokens, and their frequencies, without those that have
 * an unknown token, -1. Returns how many they are. */
int64_t translate_keys(const int64_t *keys, const int32_t *frequencies, int64_t count,
                       const int64_t *numbers, int64_t tokens, int64_t *to,
                       int32_t *to_frequencies) {
    int64_t known = 0, last = -1;
    for (int64_t i = 0; i < count; i++) {
        int64_t key = translated(keys[i], numbers, tokens);
        if (key == UNKNOWN)
            continue;
        if (key <= last)
            return -1;
        last = to[known] = key;
        to_frequencies[known++] = frequencies[i];
    }
    return known;
}

typedef struct {
    int64_t key, at, end;
} Run;

/* Move the first run down to its place in a heap with the least key first. */
static void sift(Run *runs, int64_t count) {
    Run moved = runs[0];
    int64_t place = 0;
    for (int64_t child; (child = 2 * place + 1) < count; place = child) {
        if (child + 1 < count && runs[child + 1].key < runs[child].key)
            child++;
        if (moved.key <= runs[child].key)
            break;
        runs[place] = runs[child];
    }
    runs[place] = moved;
}

static int by_key(const void *one, const void *other) {
    const Run *a = one, *b = other;
    return (a->key > b->key) - (a->key < b->key);
}

/* Merge runs of ascending keys, which end at `ends`: write each key once, with the sum of its
 * frequencies if that is `least` or more. Returns how many they are, or -2 if there is no memory. */
int64_t merge_runs(const int64_t *keys, const int32_t *frequencies, const int64_t *ends,
                   int64_t count, int64_t least, int64_t *merged, int64_t *totals) {
    Run *runs = malloc((size_t)(count > 0 ? count : 1) * sizeof *runs);
    if (runs == NULL)
        return -2;
    int64_t open = 0, kept = 0;
    for (int64_t i = 0, start = 0; i < count; start = ends[i++])
        if (start < ends[i])
            runs[open++] = (Run){keys[start], start, ends[i]};
    qsort(runs, (size_t)open, sizeof *runs, by_key); /* an ascending array is a heap */
    while (open) {
        int64_t key = runs[0].key, total = 0;
        while (open && runs[0].key == key) {
            total += frequencies[runs[0].at++];
            if (runs[0].at < runs[0].end)
                runs[0].key = keys[runs[0].at];
            else
                runs[0] = runs[--open];
            sift(runs, open);
        }
        merged[kept] = key;
        totals[kept] = total;
        kept += total >= least;
    }
    free(runs);
    return kept;
}

/* Write for each key its position among the `kept` ones, by the `numbers` of their tokens, or -1.
 * Returns 0. */
int64_t find_columns(const int64_t *keys, int64_t count, const int64_t *numbers, int64_t tokens,
                     const int64_t *kept, int64_t kept_count, int32_t *columns) {
    int64_t last = -1, at = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t key = translated(keys[i], numbers, tokens);
        columns[i] = -1;
        if (key == UNKNOWN)
            continue;
        if (key <= last)
            return -1;
        last = key;
        while (at < kept_count && kept[at] < key)
            at++;
        if (at < kept_count && kept[at] == key)
            columns[i] = (int32_t)at;
    }
    return 0;
}

/* Write the rows with the columns `new_columns` of their `width` columns, without those of -1.
 * Returns the number of entries. */
int64_t keep_columns(const int32_t *starts, int64_t rows, const int32_t *columns,
                     const uint8_t *counts, int64_t entries, const int32_t *new_columns,
                     int64_t width, int32_t *to_starts, int32_t *to_columns, uint8_t *to_counts) {
    int32_t kept = 0;
    for (int64_t row = 0; row < rows; row++) {
        to_starts[row] = kept;
        if (starts[row] < 0 || starts[row] > starts[row + 1] || starts[row + 1] > entries)
            return -1;
        for (int32_t i = starts[row]; i < starts[row + 1]; i++) {
            if (columns[i] < 0 || columns[i] >= width)
                return -1;
            to_columns[kept] = new_columns[columns[i]];
            to_counts[kept] = counts[i];
            kept += to_columns[kept] >= 0;
        }
    }
    to_starts[rows] = kept;
    return kept;
}

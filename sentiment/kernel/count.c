/* Count n-grams of texts, as sentiment/ngrams.py does: number the tokens, sort the positions of the
 * tokens by the three tokens that begin there, and number the n-grams in that order.
 *
 * An n-gram sorts before the longer ones that begin with it. So the sorted positions pass each
 * n-gram once, and a text's n-grams are the at most three of each of its positions.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "keys.h"
#include "tokens.h"

typedef struct {
    const uint8_t *bytes; /* in the texts */
    uint64_t prefix;      /* the first eight bytes, the first in the highest bits */
    uint32_t size;
    uint32_t number; /* from 0, in the order of the first appearance */
} Word;

typedef struct {
    uint32_t hash;
    uint32_t word; /* from 1; 0: the slot is empty */
} Slot;

typedef struct {
    Word *words;
    Slot *slots; /* open addressing with linear probing, at most half full */
    uint32_t count, bits;
} Words;

/* Double the room of the table, or make the first. Returns 0, or -1 if there is no memory. */
static int grow(Words *table) {
    uint32_t bits = table->bits ? table->bits + 1 : 12;
    if (bits > 31)
        return -1;
    Word *words = realloc(table->words, ((size_t)1 << (bits - 1)) * sizeof *words);
    if (words == NULL)
        return -1;
    table->words = words;
    Slot *slots = calloc((size_t)1 << bits, sizeof *slots);
    if (slots == NULL)
        return -1;
    uint32_t mask = (1u << bits) - 1;
    for (size_t i = 0; table->bits && i < (size_t)1 << table->bits; i++) {
        Slot moved = table->slots[i];
        if (moved.word == 0)
            continue;
        uint32_t at = moved.hash >> (32 - bits);
        while (slots[at].word)
            at = (at + 1) & mask;
        slots[at] = moved;
    }
    free(table->slots);
    table->slots = slots;
    table->bits = bits;
    return 0;
}

/* Write the number of a token. Returns 0, or -1 if there is no memory. */
static int number(Words *table, const uint8_t *bytes, uint32_t size, uint32_t *found) {
    uint32_t hash = (uint32_t)(hash_bytes(bytes, size) >> 32), mask = (1u << table->bits) - 1;
    uint32_t at = hash >> (32 - table->bits);
    for (; table->slots[at].word; at = (at + 1) & mask) {
        const Word *word = table->words + table->slots[at].word - 1;
        if (table->slots[at].hash == hash && word->size == size &&
            memcmp(word->bytes, bytes, size) == 0) {
            *found = word->number;
            return 0;
        }
    }
    Word *word = table->words + table->count;
    *word = (Word){.bytes = bytes, .size = size, .number = table->count};
    for (uint32_t i = 0; i < 8; i++)
        word->prefix = word->prefix << 8 | (i < size ? bytes[i] : 0);
    *found = table->count++;
    table->slots[at] = (Slot){hash, table->count};
    return table->count == mask / 2 ? grow(table) : 0;
}

static int by_bytes(const void *one, const void *other) {
    const Word *a = one, *b = other;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    int order = memcmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

/* Sort the words, write them to `packed`, one a line without a line feed after the last, and number
 * the tokens from 1 in that order. Returns the size of `packed`, or -1 if there is no memory. */
static int64_t sort_words(Words *table, uint32_t *ids, int64_t tokens, uint8_t *packed) {
    uint32_t *sorted_number = malloc((table->count ? table->count : 1) * sizeof *sorted_number);
    if (sorted_number == NULL)
        return -1;
    qsort(table->words, table->count, sizeof *table->words, by_bytes);
    int64_t size = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        if (i)
            packed[size++] = '\n';
        memcpy(packed + size, table->words[i].bytes, table->words[i].size);
        size += table->words[i].size;
        sorted_number[table->words[i].number] = i + 1;
    }
    for (int64_t i = 0; i < tokens; i++)
        ids[i] = sorted_number[ids[i]];
    free(sorted_number);
    return size;
}

/* Write the number of each token of the texts, from 1 in the order of the distinct tokens; where the
 * tokens of each text start, and of the last end; and the distinct tokens, see sort_words.
 *
 * `content` has the texts in valid UTF-8 without a gap, less than 4 GiB, and `ends` their ends. In a
 * text of `by_line` each line is a token, see token_end. `ids` has room for a token a byte, `packed`
 * for two bytes a byte. Returns the number of distinct tokens, or -1 if there is no memory. */
int64_t number_words(const uint8_t *content, const int64_t *ends, const uint8_t *by_line,
                     int64_t texts, const uint8_t *classes, uint32_t *ids, int64_t *starts,
                     uint8_t *packed, int64_t *packed_size) {
    Words table = {0};
    int failed = grow(&table);
    int64_t tokens = 0;
    const uint8_t *at = content;
    for (int64_t text = 0; text < texts && !failed; text++) {
        const uint8_t *end = content + ends[text], *text_classes = by_line[text] ? NULL : classes;
        starts[text] = tokens;
        while (at < end && !failed) {
            const uint8_t *start = at, *stop = token_end(start, end, text_classes, &at);
            if (stop)
                failed = number(&table, start, (uint32_t)(stop - start), ids + tokens++);
        }
    }
    starts[texts] = tokens;
    *packed_size = failed ? -1 : sort_words(&table, ids, tokens, packed);
    free(table.words);
    free(table.slots);
    return *packed_size < 0 ? -1 : (int64_t)table.count;
}

/* Positions of tokens, and their keys: three numbers of `bits` bits, 0 behind the end of a text. */
typedef struct {
    uint64_t *keys;
    uint32_t *positions;
} Positions;

static Positions positions_in(uint32_t *room, int64_t tokens) {
    return (Positions){(uint64_t *)room, room + 2 * tokens};
}

/* Write the keys of all positions. */
static void write_keys(const uint32_t *ids, const int64_t *starts, int64_t texts, uint32_t bits,
                       uint32_t max_n, Positions to) {
    for (int64_t text = 0; text < texts; text++)
        for (int64_t i = starts[text], end = starts[text + 1]; i < end; i++) {
            uint64_t second = max_n > 1 && i + 1 < end ? ids[i + 1] : 0;
            uint64_t third = max_n > 2 && i + 2 < end ? ids[i + 2] : 0;
            to.keys[i] = (uint64_t)ids[i] << 2 * bits | second << bits | third;
            to.positions[i] = (uint32_t)i;
        }
}

/* Sort by the keys, by least significant digits. Returns 1 if the sorted ones are in `spare`. */
static int sort_positions(Positions from, Positions spare, int64_t tokens, uint32_t bits) {
    enum { DIGIT = 11, BUCKETS = 1 << DIGIT, PASSES = 6 };
    static const uint64_t low = BUCKETS - 1;
    int64_t starts[PASSES][BUCKETS + 1];
    int swapped = 0;
    memset(starts, 0, sizeof starts);
    for (int64_t i = 0; i < tokens; i++)
        for (int pass = 0; pass < PASSES; pass++)
            starts[pass][(from.keys[i] >> pass * DIGIT & low) + 1]++;
    for (int pass = 0; pass < PASSES && pass * DIGIT < (int)bits; pass++) {
        int64_t *start = starts[pass];
        if (tokens && start[(from.keys[0] >> pass * DIGIT & low) + 1] == tokens)
            continue; /* all have the same digit */
        for (int digit = 0; digit < BUCKETS; digit++)
            start[digit + 1] += start[digit];
        for (int64_t i = 0; i < tokens; i++) {
            int64_t to = start[from.keys[i] >> pass * DIGIT & low]++;
            spare.keys[to] = from.keys[i];
            spare.positions[to] = from.positions[i];
        }
        Positions swap = from;
        from = spare;
        spare = swap;
        swapped = !swapped;
    }
    return swapped;
}

/* Write the keys of the n-grams, see sentiment/ngram_keys.py, and for each position the columns of
 * those that begin there, or NONE. Returns the number of n-grams. */
static int64_t number_ngrams(Positions from, int64_t tokens, uint32_t bits, int64_t *keys,
                             uint32_t *columns) {
    uint64_t mask = ((uint64_t)1 << bits) - 1, last = UINT64_MAX;
    int64_t count = 0;
    uint32_t current[3] = {0};
    for (int64_t i = 0; i < tokens; i++) {
        uint64_t key = from.keys[i], second = key >> bits & mask, third = key & mask;
        uint64_t single = key >> 2 * bits << 2 * BITS, pair = single | second << BITS;
        uint32_t *to = columns + 3 * (size_t)from.positions[i];
        if (key >> 2 * bits != last >> 2 * bits) {
            keys[count] = (int64_t)single;
            current[0] = (uint32_t)count++;
        }
        if (second && key >> bits != last >> bits) {
            keys[count] = (int64_t)pair;
            current[1] = (uint32_t)count++;
        }
        if (third && key != last) {
            keys[count] = (int64_t)(pair | third);
            current[2] = (uint32_t)count++;
        }
        to[0] = current[0];
        to[1] = second ? current[1] : NONE;
        to[2] = third ? current[2] : NONE;
        last = key;
    }
    return count;
}

/* Write the counts of sentiment.ngrams.Counts. `ids` and `starts` are those of number_words, `bits`
 * has room for each id, and three times `bits` are less than 64; the two rooms have three values
 * for each token. `keys`, `frequencies`, `columns` and `counts` have room for three values for each
 * token. Returns the number of n-grams. */
int64_t count_ngrams(const uint32_t *ids, const int64_t *starts, int64_t texts, uint32_t bits,
                     uint32_t max_n, uint32_t *room, uint32_t *spare_room, int64_t *keys,
                     int32_t *frequencies, int32_t *row_starts, int32_t *columns,
                     uint8_t *counts) {
    int64_t tokens = starts[texts], pairs = 0;
    Positions positions = positions_in(room, tokens), spare = positions_in(spare_room, tokens);
    write_keys(ids, starts, texts, bits, max_n, positions);
    int swapped = sort_positions(positions, spare, tokens, 3 * bits);
    uint32_t *free_room = swapped ? room : spare_room;
    uint32_t *sorted_room = swapped ? spare_room : room;
    int64_t ngrams = number_ngrams(swapped ? spare : positions, tokens, bits, keys, free_room);
    uint32_t column_bits = 0;
    while (ngrams >> column_bits)
        column_bits++;
    memset(frequencies, 0, (size_t)ngrams * sizeof *frequencies);
    for (int64_t text = 0; text < texts; text++) {
        uint32_t *found = free_room + 3 * starts[text];
        int64_t count = keep(found, 3 * (starts[text + 1] - starts[text]), found);
        found = sorted(found, sorted_room, count, column_bits);
        row_starts[text] = (int32_t)pairs;
        for (int64_t i = 0, end; i < count; i = end) {
            for (end = i + 1; end < count && found[end] == found[i];)
                end++;
            columns[pairs] = (int32_t)found[i];
            counts[pairs++] = (uint8_t)(end - i < MAX_COUNT ? end - i : MAX_COUNT);
            frequencies[found[i]]++;
        }
    }
    row_starts[texts] = (int32_t)pairs;
    return ngrams;
}

/* Score texts: tokens, their n-grams' columns, and the sums of weights.
 *
 * The results equal those of the NumPy code in sentiment/scores.py to the last bit: the same
 * products are added in the same order, and IEEE 754 rounds them in one way. So this file must be
 * compiled without contraction to fused operations and without reassociation.
 *
 * No function keeps state, and none reads beyond the arrays that its caller describes.
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "keys.h"
#include "tokens.h"

enum { BLOCK = 256 };

/* A slot of the table of tokens, with the token itself, so that most lookups take one access to
 * memory. A token that is longer than `bytes` is compared in the tokens of the model. */
typedef struct {
    uint32_t number;   /* from 1, in the order of the tokens; 0: the slot is empty */
    uint32_t start;    /* in the tokens of the model */
    uint32_t size;     /* bytes */
    uint8_t bytes[20];
} Token;

/* Open addressing with linear probing. */
typedef struct {
    const uint8_t *tokens;        /* UTF-8, one token a line, with a line feed after each */
    Token *token_slots;
    const int64_t *keys;          /* sorted keys of the n-grams */
    uint32_t *slots;              /* column + 1 in the low bits, above them bits of the hash; or 0 */
    const uint32_t *singles;      /* column of each token by its number, or NONE */
    const double *factors;        /* a row per column: its weights, then its square */
    const double *intercepts;     /* one per linear function */
    const double *term_frequency; /* by count, 0 to MAX_COUNT */
    uint32_t token_count, token_bits;
    uint32_t key_count, slot_bits, column_bits;
    uint32_t functions;
    uint32_t max_n;
    uint32_t nested; /* each n-gram of three tokens contains two that have columns, see fill_slots */
} Model;

static uint64_t hash_key(uint64_t key) {
    return mixed(mixed(key));
}

static uint32_t token_number(const Model *model, const uint8_t *bytes, uint32_t size,
                             uint64_t hash) {
    uint32_t mask = (1u << model->token_bits) - 1;
    for (uint32_t slot = (uint32_t)(hash >> (64 - model->token_bits));; slot = (slot + 1) & mask) {
        const Token *token = model->token_slots + slot;
        if (token->number == 0)
            return 0;
        if (token->size == size &&
            memcmp(size <= sizeof token->bytes ? token->bytes : model->tokens + token->start, bytes,
                   size) == 0)
            return token->number;
    }
}

static uint32_t column_of(const Model *model, uint64_t key, uint64_t hash) {
    uint32_t mask = (1u << model->slot_bits) - 1, columns = (1u << model->column_bits) - 1;
    for (uint32_t slot = (uint32_t)(hash >> (64 - model->slot_bits));; slot = (slot + 1) & mask) {
        uint32_t entry = model->slots[slot];
        if (entry == 0)
            return NONE;
        if (((entry ^ (uint32_t)hash) & ~columns) == 0) {
            uint32_t column = (entry & columns) - 1;
            if ((uint64_t)model->keys[column] == key)
                return column;
        }
    }
}

/* Fill the slots of tokens and n-grams, which are 0, and find out whether the n-grams are nested.
 * Both tables have at least twice as many slots as entries. */
void fill_slots(Model *model) {
    uint32_t token_mask = (1u << model->token_bits) - 1, start = 0;
    for (uint32_t number = 1; number <= model->token_count; number++) {
        const uint8_t *bytes = model->tokens + start;
        uint32_t size = 0;
        while (bytes[size] != '\n')
            size++;
        uint32_t slot = (uint32_t)(hash_bytes(bytes, size) >> (64 - model->token_bits));
        while (model->token_slots[slot].number)
            slot = (slot + 1) & token_mask;
        Token *token = model->token_slots + slot;
        *token = (Token){.number = number, .start = start, .size = size};
        memcpy(token->bytes, bytes, size < sizeof token->bytes ? size : sizeof token->bytes);
        start += size + 1;
    }
    uint32_t mask = (1u << model->slot_bits) - 1, columns = (1u << model->column_bits) - 1;
    for (uint32_t column = 0; column < model->key_count; column++) {
        int64_t key = model->keys[column];
        if (!(key >> BITS & ((1 << BITS) - 1)))
            continue; /* one token: singles has its column */
        uint64_t hash = hash_key((uint64_t)key);
        uint32_t slot = (uint32_t)(hash >> (64 - model->slot_bits));
        while (model->slots[slot])
            slot = (slot + 1) & mask;
        model->slots[slot] = (column + 1) | ((uint32_t)hash & ~columns);
    }
    model->nested = 1;
    for (uint32_t i = 0; i < model->key_count && model->nested; i++) {
        uint64_t key = (uint64_t)model->keys[i], last = key & ((1 << BITS) - 1);
        if (last == 0)
            continue; /* not of three tokens */
        uint64_t first = key - last, second = key << BITS & INT64_MAX;
        model->nested = column_of(model, first, hash_key(first)) != NONE &&
                        column_of(model, second, hash_key(second)) != NONE;
    }
}

/* Write the column of each key, NONE for a key that the model does not have or for the key 0.
 * Memory is prefetched for a block of keys, as most accesses miss the caches. */
static void columns_of(const Model *model, const uint64_t *keys, int64_t count, uint32_t *columns) {
    uint64_t hashes[BLOCK];
    uint32_t mask = (1u << model->slot_bits) - 1, low = (1u << model->column_bits) - 1;
    for (int64_t from = 0; from < count; from += BLOCK) {
        int64_t block = count - from < BLOCK ? count - from : BLOCK;
        for (int64_t i = 0; i < block; i++) {
            hashes[i] = hash_key(keys[from + i]);
            __builtin_prefetch(model->slots + (hashes[i] >> (64 - model->slot_bits)));
        }
        for (int64_t i = 0; i < block; i++) {
            uint32_t slot = (uint32_t)(hashes[i] >> (64 - model->slot_bits)), entry;
            while ((entry = model->slots[slot]) && (entry ^ (uint32_t)hashes[i]) & ~low)
                slot = (slot + 1) & mask;
            uint32_t candidate = (entry & low) - 1;
            columns[from + i] = entry && keys[from + i] ? candidate : NONE;
            if (entry) {
                __builtin_prefetch(model->keys + candidate);
                __builtin_prefetch(model->factors + (size_t)candidate * (model->functions + 1));
            }
        }
        for (int64_t i = from; i < from + block; i++)
            if (columns[i] != NONE && (uint64_t)model->keys[columns[i]] != keys[i])
                columns[i] = column_of(model, keys[i], hashes[i - from]);
    }
}

/* Write the number of each token of a text in valid UTF-8, 0 for an unknown one, and return how many
 * they are: at most `size`. A token is a run of characters of the class WORD, or one of the class
 * OTHER; `classes` has the class of each code point. Without `classes`, each line is a token. */
int64_t number_tokens(const Model *model, const uint8_t *text, int64_t size,
                      const uint8_t *classes, uint32_t *numbers) {
    const uint8_t *at = text, *end = text + size;
    const uint8_t *starts[BLOCK];
    uint64_t hashes[BLOCK];
    uint32_t sizes[BLOCK];
    int64_t count = 0;
    while (at < end) {
        int block = 0;
        while (at < end && block < BLOCK) {
            const uint8_t *start = at, *stop = token_end(start, end, classes, &at);
            if (stop == NULL)
                continue;
            starts[block] = start;
            sizes[block] = (uint32_t)(stop - start);
            hashes[block] = hash_bytes(start, sizes[block]);
            __builtin_prefetch(model->token_slots + (hashes[block] >> (64 - model->token_bits)));
            block++;
        }
        for (int i = 0; i < block; i++)
            numbers[count++] = token_number(model, starts[i], sizes[i], hashes[i]);
    }
    return count;
}

/* Write the column of each n-gram that has one, and return how many they are. `keys` and `columns`
 * have room for `count` values, `found` for three times as many. */
static int64_t find(const Model *model, const uint32_t *ids, int64_t count, uint64_t *keys,
                    uint32_t *columns, uint32_t *found) {
    for (int64_t i = 0; i < count; i++)
        columns[i] = model->singles[ids[i]];
    int64_t kept = keep(columns, count, found);
    if (model->max_n < 2 || count < 2)
        return kept;
    for (int64_t i = 0; i < count - 1; i++)
        keys[i] = ids[i] && ids[i + 1] ? (uint64_t)ids[i] << 2 * BITS | (uint64_t)ids[i + 1] << BITS
                                       : 0;
    columns_of(model, keys, count - 1, columns);
    kept += keep(columns, count - 1, found + kept);
    if (model->max_n < 3)
        return kept;
    for (int64_t i = 0; i < count - 2; i++) {
        int may = model->nested ? columns[i] != NONE && columns[i + 1] != NONE
                                : keys[i] && keys[i + 1];
        keys[i] = may ? keys[i] | ids[i + 2] : 0;
    }
    columns_of(model, keys, count - 2, columns);
    return kept + keep(columns, count - 2, found + kept);
}

/* Write the score of each linear function for the n-grams of the tokens `ids`. Returns 0, or -1 if
 * there is no memory. */
static int64_t score(const Model *model, const uint32_t *ids, int64_t count, double *scores) {
    uint64_t *keys = malloc((size_t)(count > 0 ? count : 1) * (sizeof *keys + 7 * sizeof *ids));
    if (keys == NULL)
        return -1;
    uint32_t *each = (uint32_t *)(keys + count), *all = each + count;
    int64_t found = find(model, ids, count, keys, each, all);
    const uint32_t *columns = sorted(all, all + 3 * count, found, model->column_bits);
    uint32_t functions = model->functions;
    double squared = 0.0;
    memset(scores, 0, functions * sizeof *scores);
    for (int64_t i = 0, end; i < found; i = end) {
        for (end = i + 1; end < found && columns[end] == columns[i];)
            end++;
        double term = model->term_frequency[end - i < MAX_COUNT ? end - i : MAX_COUNT];
        const double *factors = model->factors + (size_t)columns[i] * (functions + 1);
        for (uint32_t f = 0; f < functions; f++)
            scores[f] += term * factors[f];
        squared += term * term * factors[functions];
    }
    double inverse = squared > 0 ? 1.0 / sqrt(squared) : 0.0;
    for (uint32_t f = 0; f < functions; f++)
        scores[f] = scores[f] * inverse + model->intercepts[f];
    free(keys);
    return 0;
}

/* Write the scores of a text, see number_tokens, and the numbers of its tokens and of the unknown
 * ones among them. Returns 0, or -1 if there is no memory. */
int64_t score_text(const Model *model, const uint8_t *text, int64_t size, const uint8_t *classes,
                   double *scores, int64_t *tokens_and_unknown) {
    uint32_t *ids = malloc((size_t)(size > 0 ? size : 1) * sizeof *ids);
    if (ids == NULL)
        return -1;
    int64_t count = number_tokens(model, text, size, classes, ids), unknown = 0;
    for (int64_t i = 0; i < count; i++)
        unknown += ids[i] == 0;
    tokens_and_unknown[0] = count;
    tokens_and_unknown[1] = unknown;
    int64_t failed = score(model, ids, count, scores);
    free(ids);
    return failed;
}

/* Mark the words that a negation turns, as sentiment/negation.py does, in a text of ASCII. */

#include <stdint.h>
#include <string.h>

enum { TURNS_NOT = 1, ENDS = 2, ADDS = 4, VERB = 8 }; /* what a word may be, see negation.py */
enum { MARKED_WORDS = 3, LONGEST = 8 };

/* A word of at most eight bytes, the first in the lowest bits. */
typedef struct {
    uint64_t word;
    uint8_t whole[LONGEST]; /* what a verb is written out as: "ca" as "can" */
    uint32_t size;          /* of that */
    uint32_t kinds;
} Entry;

typedef struct {
    const uint8_t *text;
    int64_t size;
    const Entry *entries; /* sorted by word */
    int64_t count;
} Source;

static int is_letter(uint8_t byte) {
    return (byte | 32) >= 'a' && (byte | 32) <= 'z';
}

static int in_word(uint8_t byte) {
    return is_letter(byte) || (byte >= '0' && byte <= '9') || byte == '_';
}

static int64_t word_end(const Source *source, int64_t at) {
    while (at < source->size && in_word(source->text[at]))
        at++;
    return at;
}

static const Entry *entry_of(const Source *source, int64_t start, int64_t end) {
    if (end - start > LONGEST || end <= start)
        return NULL;
    uint64_t word = 0;
    for (int64_t i = start; i < end; i++)
        word |= (uint64_t)source->text[i] << 8 * (i - start);
    int64_t low = 0, high = source->count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (source->entries[middle].word < word)
            low = middle + 1;
        else
            high = middle;
    }
    return low < source->count && source->entries[low].word == word ? source->entries + low : NULL;
}

static int has_kind(const Entry *entry, uint32_t kind) {
    return entry != NULL && entry->kinds & kind;
}

static int ends_word(const Source *source, int64_t at) {
    return at >= source->size || !in_word(source->text[at]);
}

/* Tell whether "'t" is at `at`, and no word goes on after it. */
static int is_t(const Source *source, int64_t at) {
    return at + 1 < source->size && source->text[at] == '\'' && source->text[at + 1] == 't' &&
           ends_word(source, at + 2);
}

/* Return the verb of "n't", whose n is the last letter of the word, or NULL. */
static const Entry *verb_of(const Source *source, int64_t start, int64_t end) {
    const Entry *verb = entry_of(source, start, end - 1);
    return has_kind(verb, VERB) ? verb : NULL;
}

static int ends_scope(uint8_t byte) {
    return byte != 0 && strchr(".,;:!?()\"", byte) != NULL;
}

/* Find the words that a negation before `at` turns: write where they begin, and return how many. The
 * next negation ends them, so that no word is turned twice. */
static int scope(const Source *source, int64_t at, int64_t *starts) {
    int found = 0;
    for (int first = 1; found < MARKED_WORDS; first = 0) {
        while (at < source->size && !in_word(source->text[at]))
            if (ends_scope(source->text[at++]))
                return found;
        if (at >= source->size)
            return found;
        int64_t start = at, end = word_end(source, at);
        int apostrophe = source->text[end - 1] == 'n' && is_t(source, end);
        const Entry *entry = apostrophe ? NULL : entry_of(source, start, end);
        if (has_kind(entry, ENDS) || (first && has_kind(entry, ADDS)) ||
            (apostrophe && verb_of(source, start, end)) || source->text[start] == '_')
            return found;
        if (is_letter(source->text[start]) && !has_kind(entry, TURNS_NOT))
            starts[found++] = start;
        at = apostrophe ? end + 2 : end;
    }
    return found;
}

static uint8_t *append(uint8_t *to, const uint8_t *bytes, int64_t size) {
    if (size <= 0)
        return to;
    memcpy(to, bytes, (size_t)size);
    return to + size;
}

typedef struct {
    int64_t start, end; /* of what is replaced, or of the negation if nothing is */
    const Entry *verb;  /* of a negation with "n't" */
    int is_cannot;
} Negation;

static int is_at(const Source *source, int64_t at, const char *word, int64_t size) {
    return at >= 0 && at + size <= source->size &&
           memcmp(source->text + at, word, (size_t)size) == 0;
}

static int begins_word(const Source *source, int64_t at) {
    return at == 0 || !in_word(source->text[at - 1]);
}

/* Tell whether the n at `at` is the first letter of a negation's ending, and describe it. */
static int negation(const Source *source, int64_t at, Negation *found) {
    *found = (Negation){.start = at};
    if (is_at(source, at, "not", 3)) {
        found->end = at + 3;
        found->is_cannot = is_at(source, at - 3, "can", 3) && begins_word(source, at - 3);
        return ends_word(source, found->end) && (begins_word(source, at) || found->is_cannot);
    }
    if (is_at(source, at, "never", 5)) {
        found->end = at + 5;
        return ends_word(source, found->end) && begins_word(source, at);
    }
    found->end = at + 3;
    if (!is_at(source, at, "n't", 3) || !ends_word(source, found->end))
        return 0;
    while (found->start > 0 && in_word(source->text[found->start - 1]))
        if (at - --found->start > LONGEST)
            return 0;
    found->verb = verb_of(source, found->start, at + 1);
    return found->verb != NULL;
}

/* Write the changed text to `out`, which has room for four times `size` and eight bytes more, and
 * return its size; or return 0 if nothing changes. */
int64_t mark_words(const uint8_t *text, int64_t size, const Entry *entries, int64_t count,
                   uint8_t *out) {
    Source source = {text, size, entries, count};
    uint8_t *to = out;
    int64_t done = 0; /* of the text, what is written */
    for (int64_t at = 0; at < size; at++) {
        const uint8_t *n = memchr(text + at, 'n', (size_t)(size - at));
        if (n == NULL)
            break;
        at = n - text;
        Negation found;
        if (!negation(&source, at, &found))
            continue;
        if (found.verb != NULL) {
            to = append(to, text + done, found.start - done);
            to = append(to, found.verb->whole, found.verb->size);
            to = append(to, (const uint8_t *)" not", 4);
            done = found.end;
        } else if (found.is_cannot) {
            to = append(to, text + done, found.start - done);
            to = append(to, (const uint8_t *)" ", 1);
            done = found.start;
        }
        int64_t starts[MARKED_WORDS];
        int words = scope(&source, found.end, starts);
        for (int i = 0; i < words; i++) {
            to = append(to, text + done, starts[i] - done);
            to = append(to, (const uint8_t *)"not_", 4);
            done = starts[i];
        }
        at = found.end - 1;
    }
    return to == out ? 0 : append(to, text + done, size - done) - out;
}

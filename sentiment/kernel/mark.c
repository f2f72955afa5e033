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

static int in_word(uint8_t byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '_' ||
           (byte >= 'A' && byte <= 'Z');
}

static int is_letter(uint8_t byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
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

/* Tell whether "'t" is at `at`. */
static int is_t(const Source *source, int64_t at) {
    return at + 1 < source->size && source->text[at] == '\'' && source->text[at + 1] == 't';
}

/* Return the verb of a word that ends in "n't" or, without `apostrophe`, in "nt"; else NULL. */
static const Entry *verb_of(const Source *source, int64_t start, int64_t end, int apostrophe) {
    const uint8_t *text = source->text;
    int64_t stop = end - (apostrophe ? 1 : 2);
    if (stop <= start || text[stop] != 'n' || (!apostrophe && text[end - 1] != 't'))
        return NULL;
    const Entry *verb = entry_of(source, start, stop);
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
            verb_of(source, start, end, apostrophe) || source->text[start] == '_')
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

/* Write the changed text to `out`, which has room for four times `size` and eight bytes more, and
 * return its size; or return 0 if nothing changes. */
int64_t mark_words(const uint8_t *text, int64_t size, const Entry *entries, int64_t count,
                   uint8_t *out) {
    Source source = {text, size, entries, count};
    uint8_t *to = out;
    int64_t done = 0; /* of the text, what is written */
    for (int64_t at = 0; at < size;) {
        if (!in_word(text[at])) {
            at++;
            continue;
        }
        int64_t start = at, end = word_end(&source, at), length = end - start;
        at = end;
        if (text[end - 1] != 't' && text[end - 1] != 'n' && text[end - 1] != 'r')
            continue; /* no negation */
        if (length == 6 && memcmp(text + start, "cannot", 6) == 0) {
            to = append(to, text + done, start + 3 - done);
            to = append(to, (const uint8_t *)" ", 1);
            done = start + 3;
        } else if (!(length == 3 && memcmp(text + start, "not", 3) == 0) &&
                   !(length == 5 && memcmp(text + start, "never", 5) == 0)) {
            int apostrophe = text[end - 1] == 'n' && is_t(&source, end) &&
                             (end + 2 >= size || !in_word(text[end + 2]));
            const Entry *verb = verb_of(&source, start, end, apostrophe);
            if (verb == NULL)
                continue;
            to = append(to, text + done, start - done);
            to = append(to, verb->whole, verb->size);
            to = append(to, (const uint8_t *)" not", 4);
            at = done = apostrophe ? end + 2 : end;
        }
        int64_t starts[MARKED_WORDS];
        int found = scope(&source, at, starts);
        for (int i = 0; i < found; i++) {
            to = append(to, text + done, starts[i] - done);
            to = append(to, (const uint8_t *)"not_", 4);
            done = starts[i];
        }
    }
    if (done == 0 && to == out)
        return 0;
    return append(to, text + done, size - done) - out;
}

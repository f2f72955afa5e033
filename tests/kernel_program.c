/* A program around the kernel for another architecture: reads a model and texts from standard input,
 * writes tokens, unknown tokens and scores of each text. See tests/system/test_kernel_arm64.py. */

#include <stdio.h>

#include "../sentiment/kernel/score.c"

static void *block(int64_t *size) {
    if (fread(size, sizeof *size, 1, stdin) != 1)
        exit(2);
    void *content = malloc((size_t)*size + 1);
    if (content == NULL || (*size && fread(content, (size_t)*size, 1, stdin) != 1))
        exit(2);
    return content;
}

int main(void) {
    int64_t size;
    void *arrays[8];
    for (int i = 0; i < 8; i++)
        arrays[i] = block(&size);
    uint32_t *n = block(&size);
    Model model = {arrays[0], arrays[1], arrays[2], arrays[3], arrays[4], arrays[5], arrays[6],
                   arrays[7], n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]};
    uint8_t *classes = block(&size);
    int64_t texts = *(int64_t *)block(&size);
    double scores[16];
    fill_slots(&model);
    for (int64_t i = 0; i < texts; i++) {
        uint8_t *text = block(&size);
        int64_t counts[2];
        if (model.functions > 16 || score_text(&model, text, size, classes, scores, counts))
            return 1;
        printf("%lld %lld", (long long)counts[0], (long long)counts[1]);
        for (uint32_t f = 0; f < model.functions; f++)
            printf(" %a", scores[f]);
        puts("");
        free(text);
    }
    return 0;
}

/* Passes over the rows of a shard, for the fit of sentiment/regression.py and its scores.
 *
 * The results equal those of SciPy's sparse matrices to the last bit: the same products are added in
 * the same order, each sum from 0. Several functions are fitted at once; their values for a row or a
 * column lie side by side.
 *
 * Rows come from files. Each function returns -1, and its results are void, if a row leaves the
 * arrays; else 0.
 */

#include <stdint.h>
#include <string.h>

typedef struct {
    const int32_t *starts;  /* of each row's entries, and of the last end */
    const int32_t *columns; /* ascending within a row */
    const uint8_t *counts;
    const double *term_frequency; /* by count */
    int64_t rows, entries, width;
} Rows;

static int outside(const Rows *rows, int64_t row) {
    int32_t start = rows->starts[row], end = rows->starts[row + 1];
    if (start < 0 || start > end || end > rows->entries)
        return 1;
    uint32_t largest = 0; /* a negative column is a large one */
    for (int32_t i = start; i < end; i++)
        if ((uint32_t)rows->columns[i] > largest)
            largest = (uint32_t)rows->columns[i];
    return start < end && largest >= rows->width;
}

/* Write the sum of squared terms times `squares`, one a column, for each row. */
int64_t squared_lengths(const Rows *rows, const double *squares, double *lengths) {
    for (int64_t row = 0; row < rows->rows; row++) {
        if (outside(rows, row))
            return -1;
        double sum = 0.0;
        for (int32_t i = rows->starts[row]; i < rows->starts[row + 1]; i++) {
            double term = rows->term_frequency[rows->counts[i]];
            sum += term * term * squares[rows->columns[i]];
        }
        lengths[row] = sum;
    }
    return 0;
}

/* Write the sums of a row's terms times the weights of their columns, `stride` values apart. */
static void multiply(const Rows *rows, int64_t row, const double *weights, int64_t functions,
                     int64_t stride, double *sums) {
    if (functions == 1) {
        double sum = 0.0;
        for (int32_t i = rows->starts[row]; i < rows->starts[row + 1]; i++)
            sum += rows->term_frequency[rows->counts[i]] * weights[rows->columns[i] * stride];
        *sums = sum;
        return;
    }
    memset(sums, 0, (size_t)functions * sizeof *sums);
    for (int32_t i = rows->starts[row]; i < rows->starts[row + 1]; i++) {
        double term = rows->term_frequency[rows->counts[i]];
        for (int64_t f = 0; f < functions; f++)
            sums[f] += term * weights[rows->columns[i] * stride + f];
    }
}

/* Add a row's terms times `values` to the values of their columns, `stride` values apart. */
static void scatter(const Rows *rows, int64_t row, const double *values, int64_t functions,
                    int64_t stride, double *sums) {
    if (functions == 1) {
        for (int32_t i = rows->starts[row]; i < rows->starts[row + 1]; i++)
            sums[rows->columns[i] * stride] += rows->term_frequency[rows->counts[i]] * *values;
        return;
    }
    for (int32_t i = rows->starts[row]; i < rows->starts[row + 1]; i++) {
        double term = rows->term_frequency[rows->counts[i]];
        for (int64_t f = 0; f < functions; f++)
            sums[rows->columns[i] * stride + f] += term * values[f];
    }
}

/* Write the product of the terms with `weights`: each function's sum for each row. */
int64_t product(const Rows *rows, const double *weights, int64_t functions, double *sums) {
    for (int64_t row = 0; row < rows->rows; row++) {
        if (outside(rows, row))
            return -1;
        multiply(rows, row, weights, functions, functions, sums + row * functions);
    }
    return 0;
}

/* Add to `sums`, which are 0, the product of the transposed terms with `values`. */
int64_t transposed_product(const Rows *rows, const double *values, int64_t functions, double *sums) {
    for (int64_t row = 0; row < rows->rows; row++) {
        if (outside(rows, row))
            return -1;
        scatter(rows, row, values + row * functions, functions, functions, sums);
    }
    return 0;
}

/* Write the scores, which are the product times the inverse length of each row, and add the
 * transposed product of the scores times the inverse lengths to `columns`. It has for each column
 * the weights of all functions and then their sums, which are 0: one access to memory for both. */
int64_t step(const Rows *rows, const double *inverse, int64_t functions, double *columns,
             double *scores) {
    double values[256];
    if (functions > 256)
        return -1;
    for (int64_t row = 0; row < rows->rows; row++, scores += functions) {
        if (outside(rows, row))
            return -1;
        multiply(rows, row, columns, functions, 2 * functions, scores);
        for (int64_t f = 0; f < functions; f++) {
            scores[f] *= inverse[row];
            values[f] = scores[f] * inverse[row];
        }
        scatter(rows, row, values, functions, 2 * functions, columns + functions);
    }
    return 0;
}

/* Add the texts with each column to `texts`, and those with each of `classes` labels from `first`
 * on, after them: 1 + `classes` values a column. */
int64_t count_texts(const Rows *rows, const int8_t *labels, int64_t first, int64_t classes,
                    int64_t *texts) {
    int64_t stride = 1 + classes;
    for (int64_t row = 0; row < rows->rows; row++) {
        if (outside(rows, row))
            return -1;
        int64_t class = labels[row] - first;
        for (int32_t i = rows->starts[row]; i < rows->starts[row + 1]; i++) {
            texts[rows->columns[i] * stride]++;
            if (class >= 0 && class < classes)
                texts[rows->columns[i] * stride + 1 + class]++;
        }
    }
    return 0;
}

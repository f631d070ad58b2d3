// How many values of each row are positive, and negative.
#include "cuda/base.cuh"

RA_KERNEL sign_counts(RA_ROWS, i64* counts) {
    for (int i = 0; i < clients; ++i) {
        i64 positive = 0, negative = 0;
        RA_EACH(j, d) {
            const Compute v = widened(rows[i][j]);
            if (!is_finite(v)) *odd = 1;
            positive += v > 0;
            negative += v < 0;
        }
        add_of_all(counts + 2 * i, positive);
        add_of_all(counts + 2 * i + 1, negative);
    }
}

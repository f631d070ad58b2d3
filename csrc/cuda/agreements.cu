// In how many columns two rows have the same sign less in how many opposite ones, of values whose magnitude's key is at
// least keys[i].
#include "cuda/base.cuh"

RA_DEVICE i64 sign_above(Compute v, i64 least) {
    return static_cast<i64>(key_of_magnitude(v)) < least ? 0 : (v > 0) - (v < 0);
}

RA_KERNEL agreements(RA_ROWS, const i64* keys, i64* counts) {
    RA_EACH(j, d) {
        for (int i = 0; i < clients; ++i) {
            const Compute v = widened(rows[i][j]);
            if (!is_finite(v)) *odd = 1;
            const i64 sign = sign_above(v, keys[i]);
            if (sign == 0) continue;
            add_to(counts + static_cast<i64>(i) * clients + i, 1);
            for (int k = 0; k < i; ++k) {
                const i64 other = sign_above(widened(rows[k][j]), keys[k]);
                if (other == 0) continue;
                add_to(counts + static_cast<i64>(i) * clients + k, sign * other);
                add_to(counts + static_cast<i64>(k) * clients + i, sign * other);
            }
        }
    }
}

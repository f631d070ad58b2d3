// out[i][j] = rows[i][j] less the last row's, clamped to the largest number.
#include "cuda/base.cuh"

RA_KERNEL differences(RA_ROWS, Compute* out) {
    RA_EACH(j, d) {
        const Compute last = widened(rows[clients - 1][j]), most = static_cast<Compute>(largest);
        if (!is_finite(last)) *odd = 1;
        for (int i = 0; i < clients - 1; ++i) {
            const Compute v = widened(rows[i][j]);
            if (!is_finite(v)) *odd = 1;
            out[i * d + j] = clamped(v - last, most);
        }
    }
}

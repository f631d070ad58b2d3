// 1 where at least `least` more values are positive than negative, -1 where negative, else 0.
#include "cuda/base.cuh"

RA_KERNEL majority(RA_ROWS, int least, i8* signs) {
    RA_EACH(j, d) {
        int sum = 0;
        for (int i = 0; i < clients; ++i) {
            const Compute v = widened(rows[i][j]);
            if (!is_finite(v)) *odd = 1;
            sum += (v > 0) - (v < 0);
        }
        signs[j] = static_cast<i8>((sum >= least) - (sum <= -least));
    }
}

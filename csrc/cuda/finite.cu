// Whether every value of a row is finite.
#include "cuda/base.cuh"

RA_KERNEL finite(RA_ROWS, u8* whole) {
    for (int i = 0; i < clients; ++i) {
        RA_EACH(j, d) {
            if (!is_finite(widened(rows[i][j]))) whole[i] = 0;
        }
    }
}

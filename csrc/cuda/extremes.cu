// Coordinate-wise the greatest and the least value.
#include "cuda/base.cuh"

RA_KERNEL extremes(RA_ROWS, Compute* greatest, Compute* least) {
    RA_EACH(j, d) {
        Compute high = widened(rows[0][j]), low = high, nothing = high - high;
        for (int i = 1; i < clients; ++i) {
            const Compute v = widened(rows[i][j]);
            nothing += v - v;
            high = upper(high, v);
            low = lower(low, v);
        }
        if (nothing != 0) *odd = 1;
        greatest[j] = high;
        least[j] = low;
    }
}

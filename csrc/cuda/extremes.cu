// Coordinate-wise the greatest and the least value.
#include "cuda/ends.cuh"

RA_KERNEL extremes(RA_ROWS, Compute* greatest, Compute* least) {
    RA_EACH(j, d) {
        const Ends ends = ends_of(rows, clients, j, odd);
        greatest[j] = ends.high;
        least[j] = ends.low;
    }
}

// In how many columns each row has the greatest or the least value, of equal ones each.
#include "cuda/ends.cuh"

RA_KERNEL outermost(RA_ROWS, i64* counts) {
    RA_EACH(j, d) {
        const Ends ends = ends_of(rows, clients, j, odd);
        for (int i = 0; i < clients; ++i) {
            const Compute v = widened(rows[i][j]);
            if (v == ends.high || v == ends.low) add_to(counts + i, 1);
        }
    }
}

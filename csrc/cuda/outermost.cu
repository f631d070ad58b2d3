// In how many columns each row has the greatest or the least value, of equal ones each.
#include "cuda/base.cuh"

RA_KERNEL outermost(RA_ROWS, i64* counts) {
    RA_EACH(j, d) {
        Compute high = widened(rows[0][j]), low = high, nothing = high - high;
        for (int i = 1; i < clients; ++i) {
            const Compute v = widened(rows[i][j]);
            nothing += v - v;
            high = upper(high, v);
            low = lower(low, v);
        }
        if (nothing != 0) *odd = 1;
        for (int i = 0; i < clients; ++i) {
            const Compute v = widened(rows[i][j]);
            if (v == high || v == low) add_to(counts + i, 1);
        }
    }
}

// The coordinate-wise median; of an even count, the mean of the two middle values.
#include "cuda/order.cuh"

RA_KERNEL median(RA_ROWS, Compute* out) {
    const int n = number(clients);
    RA_EACH(j, d) {
        Compute v[capacity];
        if (!load(rows, n, j, v)) *odd = 1;
        out[j] = middle(v, n);
    }
}

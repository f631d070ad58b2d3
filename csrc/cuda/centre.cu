// The coordinate-wise lower median, on which the Gram matrix's rows are centred.
#include "cuda/order.cuh"

RA_KERNEL centre(RA_ROWS, Compute* out) {
    const int n = number(clients);
    RA_EACH(j, d) {
        Compute v[capacity];
        if (!load(rows, n, j, v)) *odd = 1;
        out[j] = lower_middle(v, n);
    }
}

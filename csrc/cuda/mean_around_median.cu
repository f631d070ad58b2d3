// The coordinate-wise mean of the k values nearest the median; of two equally far from it, the smaller.
#include "cuda/order.cuh"

RA_KERNEL mean_around_median(RA_ROWS, int k, Compute* out) {
    const int n = number(clients);
    RA_EACH(j, d) {
        Compute v[capacity];
        if (!load(rows, n, j, v)) *odd = 1;
        sort(v, n);
        // Quarters, whose differences do not overflow.
        const double centre = halfway(v[(n - 1) / 2] * 0.25, v[n / 2] * 0.25);
        int low = 0, high = n - 1;
        while (high - low >= k) {
            if (centre - v[low] * 0.25 > v[high] * 0.25 - centre)
                ++low;
            else
                --high;
        }
        out[j] = mean_of_ranks(v, n, low, high + 1);
    }
}

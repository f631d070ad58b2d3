// The least value up to which half of the weight lies; where that is exactly half, the mean of it and the next one.
// Weights are added up in client order: exactly, where they are integers. O(n^2) per coordinate.
#include "cuda/order.cuh"

RA_KERNEL weighted_median(RA_ROWS, const double* weights, double half, Compute* out) {
    const int n = number(clients);
    RA_EACH(j, d) {
        Compute v[capacity];
        if (!load(rows, n, j, v)) *odd = 1;
        Compute most = -static_cast<Compute>(largest), low = 0, high = 0;
        bool reached = false, passed = false;
        for (int i = 0; i < n; ++i) {
            if (!(weights[i] > 0)) continue;
            double up_to = 0;
            for (int k = 0; k < n; ++k) up_to += v[k] <= v[i] ? weights[k] : 0;
            most = upper(most, v[i]);
            if (up_to >= half) low = reached ? lower(low, v[i]) : v[i];
            if (up_to > half) high = passed ? lower(high, v[i]) : v[i];
            reached |= up_to >= half;
            passed |= up_to > half;
        }
        out[j] = halfway(reached ? low : most, passed ? high : most);  // rounding may leave all below the half
    }
}

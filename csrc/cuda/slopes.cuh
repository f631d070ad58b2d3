// The median slope of each rank of a sorted column to the others. gaps[n - 1 + k] = 1 / k, for k from 1 - n to n - 1.
#pragma once

#include "cuda/order.cuh"

#if defined(RA_MIDDLE_OF_OTHERS)

// Fewest clients: all is unrolled, so that the slope of a pair, written one way, is computed once.
RA_DEVICE const Compute* beside(const Compute* gaps, int) { return gaps; }
RA_DEVICE void median_slopes(const Compute* z, int n, const Compute* gaps, Compute* medians) {
    constexpr int others = capacity > 1 ? capacity - 1 : 1;
    RA_UNROLL
    for (int i = 0; i < n; ++i) {
        Compute v[others] = {0};
        RA_UNROLL
        for (int k = 0; k < n - 1; ++k) {
            const int other = k + (k >= i), low = other < i ? other : i, high = other < i ? i : other;
            v[k] = (z[high] - z[low]) * gaps[n - 1 + high - low];
        }
        RA_MIDDLE_OF_OTHERS(RA_EXCHANGE)
        medians[i] = halfway(v[(others - 1) / 2], v[others / 2]);
    }
}

#elif defined(RA_MIDDLE_AFTER_LEAST)

// Few: by a network for all slopes of a rank. None is negative; that to itself, zero, counts as the least.
RA_DEVICE const Compute* beside(const Compute* gaps, int) { return gaps; }
RA_DEVICE void median_slopes(const Compute* z, int n, const Compute* gaps, Compute* medians) {
    RA_ROLLED
    for (int i = 0; i < n; ++i) {
        const Compute own = z[i], *const gap = gaps + n - 1 - i;
        Compute v[capacity];
        RA_UNROLL
        for (int k = 0; k < n; ++k) v[k] = (z[k] - own) * gap[k];
        RA_MIDDLE_AFTER_LEAST(RA_EXCHANGE)
        medians[i] = halfway(v[n / 2], v[(n + 1) / 2]);
    }
}

#else
#include "cuda/search.cuh"
#endif

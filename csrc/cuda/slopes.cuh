// The median slope of each rank of a sorted column to the others. gaps[n - 1 + k] = 1 / k, for k from 1 - n to n - 1.
#pragma once

#include "cuda/order.cuh"

#if defined(RA_MIDDLE_OF_OTHERS)

// Fewest clients: all is unrolled, so that the slope of a pair, written one way, is computed once, and no gap is read.
RA_DEVICE const Compute* beside(const Compute* gaps, int) { return gaps; }
RA_DEVICE void median_slopes(const Compute* z, int n, const Compute*, Compute* medians) {
    constexpr int others = capacity > 1 ? capacity - 1 : 1;
    RA_UNROLL
    for (int i = 0; i < n; ++i) {
        Compute v[others] = {0};
        RA_UNROLL
        for (int k = 0; k < n - 1; ++k) {
            const int other = k + (k >= i), low = other < i ? other : i, high = other < i ? i : other;
            v[k] = (z[high] - z[low]) * (Compute(1) / Compute(high - low));
        }
        RA_MIDDLE_OF_OTHERS(RA_EXCHANGE)
        medians[i] = halfway(v[(others - 1) / 2], v[others / 2]);
    }
}

#else

// The table of gaps, if it is not large, is in the block's own memory: it is read all the time, by neighbouring threads
// at distant places.
constexpr bool gaps_fit = capacity * sizeof(Compute) <= 2048;
RA_SHARED Compute gaps_beside[gaps_fit ? 2 * capacity : 1];

RA_DEVICE const Compute* beside(const Compute* gaps, int n) {
    if constexpr (gaps_fit) {
        RA_TOGETHER(k, 2 * n - 1) gaps_beside[k] = gaps[k];
        RA_BARRIER;
        return gaps_beside;
    } else {
        return gaps;
    }
}

#if defined(RA_MIDDLE_AFTER_LEAST)

// Few: by a network for all slopes of a rank. None is negative; that to itself, zero, counts as the least.
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
#endif

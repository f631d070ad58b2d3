// Sorting and medians of a column. Few clients: networks in registers, straight-line code. Many: a merge exchange, and
// medians by bisection of ordered keys, so that all threads of a warp take the same steps.
#pragma once

#include "cuda/base.cuh"

RA_DEVICE void exchange(Compute& a, Compute& b) {
    const Compute low = lower(a, b);
    b = upper(a, b);
    a = low;
}

#define RA_EXCHANGE(i, j) exchange(v[i], v[j]);

// Whole numbers ordered like the numbers.
constexpr Key sign_bit = Key(1) << (8 * sizeof(Key) - 1);
RA_DEVICE Key key_of(Compute x) {
    const Key b = bits_of(x);
    return (b & sign_bit) != 0 ? ~b : b | sign_bit;
}
RA_DEVICE Compute value_of(Key key) { return number_of((key & sign_bit) != 0 ? key ^ sign_bit : ~key); }

#if defined(RA_FEW)

RA_DEVICE void sort(Compute* v, int){RA_SORTING(RA_EXCHANGE)}  // The lower median of n values, whose order is lost.
RA_DEVICE Compute lower_middle(Compute* v, int) {
    RA_MIDDLE(RA_EXCHANGE)
    return v[(RA_FEW - 1) / 2];
}
// The median of n values, whose order is lost; of an even count, the mean of the two middle ones.
RA_DEVICE Compute middle(Compute* v, int n) {
    const Compute low = lower_middle(v, n);
    return RA_FEW % 2 == 1 ? low : halfway(low, v[RA_FEW / 2]);
}

#else

// Batcher's merge exchange: Knuth, "The Art of Computer Programming" 3, algorithm 5.2.2M.
RA_DEVICE void sort(Compute* v, int n) {
    int top = 1;
    while (2 * top < n) top *= 2;
    for (int p = top; p > 0; p /= 2) {
        for (int q = top, r = 0, apart = p;; apart = q - p, q /= 2, r = p) {
            for (int i = 0; i + apart < n; ++i)
                if ((i & p) == r) exchange(v[i], v[i + apart]);
            if (q == p) break;
        }
    }
}

RA_DEVICE int count_up_to(const Compute* v, int n, Key key) {
    int count = 0;
    for (int i = 0; i < n; ++i) count += key_of(v[i]) <= key;
    return count;
}

// The lower median of any number of values.
RA_DEVICE Compute lower_middle(const Compute* v, int n) {
    Key low = key_of(v[0]), high = low;
    for (int i = 1; i < n; ++i) {
        const Key key = key_of(v[i]);
        low = key < low ? key : low;
        high = key > high ? key : high;
    }
    while (low < high) {
        const Key half = low + (high - low) / 2;
        if (count_up_to(v, n, half) > (n - 1) / 2)
            high = half;
        else
            low = half + 1;
    }
    return value_of(low);
}
// Their median; of an even count, the mean of the two middle ones.
RA_DEVICE Compute middle(const Compute* v, int n) {
    const Compute low = lower_middle(v, n);
    const Key least = key_of(low);
    if (n % 2 == 1 || count_up_to(v, n, least) > n / 2) return low;
    Key next = ~Key(0);
    for (int i = 0; i < n; ++i) {
        const Key key = key_of(v[i]);
        next = key > least && key < next ? key : next;
    }
    return halfway(low, value_of(next));
}

#endif

// --- means of sorted columns ----------------------------------------------------------------------------------------

// A power of two that keeps sums of numbers up to `size` finite: 1 but for huge doubles.
RA_DEVICE double unit_for(double size) { return !single && size > 0x1p500 ? 0x1p-600 : 1; }

// Mean of the ranks low to high - 1 of a sorted column, in double; rounding does not leave the box of what is averaged.
RA_DEVICE Compute mean_of_ranks(const Compute* v, int n, int low, int high) {
    const double unit = unit_for(upper(absolute<double>(v[0]), absolute<double>(v[n - 1])));
    double sum = 0;
    Compute least = v[n - 1], most = v[0];
    RA_UNROLL
    for (int i = 0; i < n; ++i) {
        if (i < low || i >= high) continue;
        sum += v[i] * unit;
        least = lower(least, v[i]);
        most = upper(most, v[i]);
    }
    return static_cast<Compute>(
        upper(static_cast<double>(least), lower(static_cast<double>(most), sum / (high - low) / unit)));
}

// Order statistics of many values without sorting them: in each lane, the value of a given rank is closed in on by
// counting. A guess interpolates between the bounds, aiming alternately a little above and below the rank; after a
// few it halves the bit patterns that lie between, so that no data takes more than `patient` + 32 (64) passes.
// Bounds are values of the column, so ties end a search at once. Exact; about 8 passes of 5 instructions per vector.
// Source: the guesses are those of Floyd and Rivest, Algorithm 489 (1975).
#pragma once

#include <cmath>
#include <limits>

#include "base/simd.hpp"
#include "base/widen.hpp"

namespace ra::RA_ISA {

constexpr int counting_pays = 129;  // values, from which on counting is faster than a network

// In each lane: low <= the value sought <= high, both values of the column.
template <class T>
struct Bounds {
    Vec<T> low, high;
    Vec<T> below, upto;  // how many values are < low, and <= high
};

template <class T>
inline Bounds<T> bounds_of(const Vec<T>* v, int n) {
    Bounds<T> b{v[0], v[0], {}, splat(T(n))};
    for (int i = 1; i < n; ++i) {
        b.low = min(b.low, v[i]);
        b.high = max(b.high, v[i]);
    }
    return b;
}

// a, and in the lanes of m the smaller (larger) of a and b.
template <class V>
inline V min_where(Mask<Element<V>> m, V a, V b) {
#if defined(RA_AVX512)
    if constexpr (is_single<V>)
        return _mm512_mask_min_ps(a, m.bits, a, b);
    else
        return _mm512_mask_min_pd(a, m.bits, a, b);
#else
    return choose(m, min(a, b), a);
#endif
}
template <class V>
inline V max_where(Mask<Element<V>> m, V a, V b) {
#if defined(RA_AVX512)
    if constexpr (is_single<V>)
        return _mm512_mask_max_ps(a, m.bits, a, b);
    else
        return _mm512_mask_max_pd(a, m.bits, a, b);
#else
    return choose(m, max(a, b), a);
#endif
}

// How many values are <= pivot.
template <class T>
inline Vec<T> count_at(const Vec<T>* v, int n, Vec<T> pivot) {
    constexpr int chains = 4;  // independent, for the processor to overlap
    const Vec<T> one = splat(T(1));
    Vec<T> count[chains] = {};
    int i = 0;
    for (; i + chains <= n; i += chains)
        for (int c = 0; c < chains; ++c) count[c] = add_where(less_equal(v[i + c], pivot), count[c], one);
    for (; i < n; ++i) count[0] = add_where(less_equal(v[i], pivot), count[0], one);
    return (count[0] + count[1]) + (count[2] + count[3]);
}

// Where the values split: how many are <= pivot, the largest of those, and the smallest of the others.
template <class T>
struct Split {
    Vec<T> count, down, up;
};

template <class T>
inline Split<T> split_at(const Vec<T>* v, int n, Vec<T> pivot) {
    constexpr int chains = 4;
    const Vec<T> infinity = splat(std::numeric_limits<T>::infinity()), one = splat(T(1));
    Split<T> s[chains];
    for (auto& chain : s) chain = {Vec<T>{}, -infinity, infinity};
    const auto add = [&](Split<T>& chain, Vec<T> x) {
        const Mask<T> lower = less_equal(x, pivot);
        chain.count = add_where(lower, chain.count, one);
        chain.down = max_where(lower, chain.down, x);
        chain.up = min_where(~lower, chain.up, x);
    };
    int i = 0;
    for (; i + chains <= n; i += chains)
        for (int c = 0; c < chains; ++c) add(s[c], v[i + c]);
    for (; i < n; ++i) add(s[0], v[i]);
    for (int c = 1; c < chains; ++c) s[0] = {s[0].count + s[c].count, max(s[0].down, s[c].down), min(s[0].up, s[c].up)};
    return s[0];
}

// The number half way from a to b when all numbers are counted in their order.
template <class T>
inline T halfway(T a, T b) {
    using Bits = decltype(bits_of(a));
    constexpr Bits sign = Bits(1) << (8 * sizeof(T) - 1);
    const auto position = [](T x) { return bits_of(x) & sign ? ~bits_of(x) : bits_of(x) | sign; };
    const Bits from = position(a), middle = from + (position(b) - from) / 2;
    const Bits pattern = middle & sign ? middle & ~sign : ~middle;
    T x;
    std::memcpy(&x, &pattern, sizeof x);
    return x;
}
template <class T>
inline Vec<T> halfway_vector(Vec<T> a, Vec<T> b) {
    for (int l = 0; l < lanes<T>; ++l) a[l] = halfway(a[l], b[l]);
    return a;
}

// Where the rank would lie between the bounds if values were spread evenly, and `errors` standard errors further.
template <class T>
inline Vec<T> interpolated(const Bounds<T>& b, int rank, T errors) {
    const Vec<T> between = b.upto - b.below;
    Vec<T> error = between;
    for (int l = 0; l < lanes<T>; ++l) error[l] = std::sqrt(between[l]);
    const Vec<T> place = T(rank) + T(0.5) - b.below + errors * error;
    const Vec<T> share = min(max(place / between, Vec<T>{}), splat(T(1)));
    return max(b.low, min(b.high, b.low * (T(1) - share) + b.high * share));
}

// Closes the bounds in by counts alone; they need not be values of the column then.
template <class T>
inline Bounds<T> approach(const Vec<T>* v, int n, Bounds<T> b, int rank) {
    for (int pass = 0; (1 << 2 * (pass + 1)) < n; ++pass) {
        const Vec<T> pivot = interpolated<T>(b, rank, pass % 2 == 0 ? T(0.5) : T(-0.5));
        const Vec<T> count = count_at<T>(v, n, pivot);
        const Mask<T> lower = less(splat(T(rank)), count);  // the value sought is <= pivot
        b = {choose(lower, b.low, pivot), choose(lower, pivot, b.high), choose(lower, b.below, count),
             choose(lower, count, b.upto)};
    }
    return b;
}

// In every lane, the value of this rank (0: the least) among v[0 .. n-1], which lies between the bounds.
template <class T>
inline Vec<T> value_of_rank(const Vec<T>* v, int n, Bounds<T> b, int rank) {
    constexpr int patient = 12;
    const Vec<T> wanted = splat(T(rank)), next = wanted + T(1);
    b = approach<T>(v, n, b, rank);
    for (int pass = 0; any(less(b.low, b.high)); ++pass) {
        Vec<T> pivot = pass < patient ? interpolated<T>(b, rank, T(0)) : halfway_vector<T>(b.low, b.high);
        pivot = choose(less(pivot, b.high), pivot, b.low);  // some value stays on either side
        const Split<T> s = split_at<T>(v, n, pivot);
        const Mask<T> lower = less(wanted, s.count);
        b = {choose(lower, choose(equal(s.count, next), s.down, b.low), s.up),
             choose(lower, s.down, choose(equal(s.count, wanted), s.up, b.high)), choose(lower, b.below, s.count),
             choose(lower, s.count, b.upto)};
    }
    return b.low;
}

}  // namespace ra::RA_ISA

// Order statistics of many values without sorting them: in each lane, the value of a given rank is closed in on by
// counting. A guess interpolates between the bounds, aiming alternately a little above and below the rank; after a
// few it halves the bit patterns that lie between, so that no data takes more than `patient` + 32 (64) passes.
// Bounds are values of the column, so ties end a search at once. Exact; about 8 passes of 5 instructions per vector.
// Source: the guesses are those of Floyd and Rivest, Algorithm 489 (1975).
#pragma once

#include <cmath>
#include <limits>

#include "simd.hpp"
#include "widen.hpp"

namespace ra::RA_ISA {

constexpr int counting_pays = 64;  // values, from which on counting is faster than a network

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

// Where the values split: how many are <= pivot, the largest of those, and the smallest of the others.
template <class T>
struct Split {
    Vec<T> count, down, up;
};

template <class T>
inline Split<T> split_at(const Vec<T>* v, int n, Vec<T> pivot) {
    constexpr int chains = 4;  // independent, for the processor to overlap
    const Vec<T> infinity = splat(std::numeric_limits<T>::infinity()), one = splat(T(1));
    Split<T> s[chains];
    for (auto& chain : s) chain = {Vec<T>{}, -infinity, infinity};
    const auto add = [&](Split<T>& chain, Vec<T> x) {
        const Mask<T> upper = less(pivot, x);
        chain.count = add_where(~upper, chain.count, one);
        chain.down = max(chain.down, choose(upper, -infinity, x));
        chain.up = min(chain.up, choose(upper, x, infinity));
    };
    int i = 0;
    for (; i + chains <= n; i += chains)
        for (int c = 0; c < chains; ++c) add(s[c], v[i + c]);
    for (; i < n; ++i) add(s[0], v[i]);
    for (int c = 1; c < chains; ++c)
        s[0] = {s[0].count + s[c].count, max(s[0].down, s[c].down), min(s[0].up, s[c].up)};
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

// Where the rank would lie between the bounds if values were spread evenly, and half a standard error to one side.
template <class T>
inline Vec<T> interpolated(const Bounds<T>& b, int rank, bool above) {
    const Vec<T> between = b.upto - b.below;
    Vec<T> error = between;
    for (int l = 0; l < lanes<T>; ++l) error[l] = std::sqrt(between[l]);
    const Vec<T> place = T(rank) + T(0.5) - b.below + (above ? T(0.5) : T(-0.5)) * error;
    const Vec<T> share = min(max(place / between, Vec<T>{}), splat(T(1)));
    return b.low * (T(1) - share) + b.high * share;
}

// Closes the bounds in until low == high, the value of this rank, in every lane.
template <class T>
inline Bounds<T> close_in(const Vec<T>* v, int n, Bounds<T> b, int rank) {
    constexpr int patient = 12;
    for (int pass = 0; any(less(b.low, b.high)); ++pass) {
        Vec<T> pivot = pass < patient ? interpolated(b, rank, pass % 2 == 0) : halfway_vector<T>(b.low, b.high);
        pivot = max(pivot, b.low);
        pivot = choose(less(pivot, b.high), pivot, b.low);  // some value stays on either side
        const Split<T> s = split_at<T>(v, n, pivot);
        const Mask<T> lower = less(splat(T(rank)), s.count);  // the value sought is <= pivot
        b = {choose(lower, b.low, s.up), choose(lower, s.down, b.high), choose(lower, b.below, s.count),
             choose(lower, s.count, b.upto)};
    }
    return b;
}

}  // namespace ra::RA_ISA

// Step A.1 of the reputation rule, on a vector of columns in the compute type. Where a column spans more than the value
// range, "paper" moves its extremes in by one standard deviation (Algorithm 1) and "clip" cuts it to median +- range /
// 2. Moments are taken in units of a power of two near the column's range, so that no finite input overflows, and in
// one order of the clients: the same bits under every instruction set.
#pragma once

#include "base/means.hpp"
#include "kernels.hpp"
#include "line/column.hpp"

namespace ra::RA_ISA {

template <class C>
struct Extremes {
    Vec<C> low, high;
};

template <class C, class N>
inline Extremes<C> find_extremes(InMemory<C> y, N n) {
    const Vec<C> first = y.get(0);
    Vec<C> low[2] = {first, first}, high[2] = {first, first};
    each_in_chains<2>(n, [&](auto i, auto k) {
        low[k] = min(y.get(i), low[k]);
        high[k] = max(y.get(i), high[k]);
    });
    return {min(low[0], low[1]), max(high[0], high[1])};
}

// Where a column spans more than the value range. Rounding keeps the order: only a difference of floats that rounds to
// the range itself needs double.
inline Mask<double> spans(Vec<double> low, Vec<double> high, double range) { return less(splat(range), high - low); }
inline Mask<float> spans(Vec<float> low, Vec<float> high, double range) {
    const Vec<float> difference = high - low, rounded = splat(static_cast<float>(range));
    if (!any(equal(difference, rounded))) return less(rounded, difference);
    const Vec<double> left = half_of<0>(high) - half_of<0>(low) - range,
                      right = half_of<1>(high) - half_of<1>(low) - range;
    return less(Vec<float>{}, joined(left, right));
}

// A power of two near each column's range, clear of the exponents' ends, and its reciprocal.
template <class V>
struct Unit {
    V size, scale;

    Unit(V low, V high) {
        using Bits = decltype(low < high);
        constexpr int digits = is_single<V> ? 23 : 52, bias = is_single<V> ? 127 : 1023;
        const auto exponent = [](int e) { return Bits{} + (Element<Bits>(e) << digits); };
        const Bits own = (Bits)(high / 4 - low / 4) & exponent(2 * bias + 1);
        const Bits least = exponent(2), most = exponent(2 * bias - 2), raised = own < least ? least : own;
        const Bits clear = raised > most ? most : raised;
        size = (V)clear;
        scale = (V)(exponent(2 * bias) - clear);
    }
};

// term(0) + ... + term(n - 1), every fourth one beside the others.
template <class V, class Term, class N>
inline V sum_of(const Term& term, N n) {
    V sum[4] = {};
    each_in_chains<4>(n, [&](auto i, auto k) { sum[k] += term(i); });
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// Population standard deviation of each column.
template <class C, class N>
inline Vec<C> deviation(InMemory<C> y, N n, const Extremes<C>& extremes) {
    const Unit<Vec<C>> unit(extremes.low, extremes.high);
    const Vec<C> origin = extremes.low * unit.scale;
    const C share = C(1) / C(int(n));
    const auto value = [&](auto i) { return y.get(i) * unit.scale - origin; };
    const Vec<C> mean = sum_of<Vec<C>>(value, n) * share;
    const auto square = [&](auto i) {
        const Vec<C> u = value(i) - mean;
        return u * u;
    };
    return square_root(sum_of<Vec<C>>(square, n) * share) * unit.size;
}

template <class C, class N>
inline void move_extremes_in(InMemory<C> y, N n, const Extremes<C>& extremes, Vec<C> step) {
    const Vec<C> new_low = extremes.low + step, new_high = extremes.high - step;
    each(n, [&](auto i) {
        const Vec<C> v = y.get(i);
        y.set(i, choose(equal(v, extremes.high), new_high, choose(equal(v, extremes.low), new_low, v)));
    });
}

template <class C, class N>
inline void clip_to_median(InMemory<C> y, N n, const Extremes<C>& extremes, Mask<C> wide, double range, Vec<C>* work) {
    each(n, [&](auto i) { work[i] = y.get(i); });
    const Vec<C> centre = median<C>(work, n), half = splat(static_cast<C>(range / 2));
    const Vec<C> floor = choose(wide, max(extremes.low, centre - half), extremes.low);
    const Vec<C> ceiling = choose(wide, min(extremes.high, centre + half), extremes.high);
    each(n, [&](auto i) { y.set(i, min(ceiling, max(floor, y.get(i)))); });
}

// In place; `work` holds n vectors.
template <class C, class N>
inline void rescale_columns(InMemory<C> y, N n, const Rescale& rescale, Vec<C>* work) {
    if (n < 3) return;
    const Extremes<C> extremes = find_extremes<C>(y, n);
    const Mask<C> wide = spans(extremes.low, extremes.high, rescale.value_range);
    if (!any(wide)) return;
    if (rescale.mode == RescaleMode::paper)
        move_extremes_in<C>(y, n, extremes, choose(wide, deviation<C>(y, n, extremes), Vec<C>{}));
    else
        clip_to_median<C>(y, n, extremes, wide, rescale.value_range, work);
}

}  // namespace ra::RA_ISA

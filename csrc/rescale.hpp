// Step A.1 of the reputation rule, on a chunk: 64 columns of n values in the compute type, rows `stride` apart, in
// place. Where a column spans more than the value range, "paper" moves its extremes in by one standard deviation
// (Algorithm 1) and "clip" cuts it to median +- range / 2. Deviations are computed in double; a column of doubles is
// first scaled by a power of two, so that no finite input overflows.
#pragma once

#include <cmath>

#include "means.hpp"
#include "networks.hpp"
#include "stage.hpp"

namespace ra::RA_ISA {

template <class C>
struct Extremes {
    alignas(64) C low[chunk], high[chunk];
};

template <class C>
inline void find_extremes(const C* y, std::size_t n, std::size_t stride, Extremes<C>& found) {
    for (std::size_t j = 0; j < chunk; j += lanes<C>) {
        Vec<C> low = load_vector(y + j), high = low;
        for (std::size_t i = 1; i < n; ++i) {
            const Vec<C> v = load_vector(y + i * stride + j);
            low = min(v, low);
            high = max(v, high);
        }
        store_vector(found.low + j, low);
        store_vector(found.high + j, high);
    }
}

// Whether any of a chunk's columns spans more than the value range.
template <class C>
inline bool any_wide(const C* low, const C* high, double value_range) {
    std::int64_t wide = 0;  // a sum, because the compiler vectorises it
    for (std::size_t j = 0; j < chunk; ++j)
        wide += static_cast<double>(high[j]) - static_cast<double>(low[j]) > value_range ? 1 : 0;
    return wide != 0;
}

// A power of two that brings a column's range near 1, clear of the exponents' ends.
inline double unit_scale(double low, double high) {
    constexpr std::uint64_t one = std::uint64_t{1} << 52, least = 2 * one, most = 2044 * one;  // biased exponents
    const std::uint64_t e = bits_of(high / 4 - low / 4) & (2047 * one);
    return double_of(2046 * one - std::min(std::max(e, least), most));
}

// A column's values, as moments are taken of them, and the sums of those and of their squares.
struct Moments {
    Vec<double> scale, origin, total = {}, squares = {};

    void add(Vec<double> y) {
        const Vec<double> u = y * scale - origin;
        total += u;
        squares += u * u;
    }
};

// The moments of one vector of columns: one for doubles, two for floats.
inline void add_up(const double* y, std::size_t n, std::size_t stride, Moments* moments) {
    for (std::size_t i = 0; i < n; ++i) moments[0].add(load_vector(y + i * stride));
}
inline void add_up(const float* y, std::size_t n, std::size_t stride, Moments* moments) {
    for (std::size_t i = 0; i < n; ++i) {
        const Vec<float> v = load_vector(y + i * stride);
        moments[0].add(half_of<0>(v));
        moments[1].add(half_of<1>(v));
    }
}

// Population standard deviation of each column, measured from its lowest value; of doubles, which cannot spare the
// digits that cancel then, from their mean.
template <class C>
inline void find_deviations(const C* y, std::size_t n, std::size_t stride, const Extremes<C>& extremes, double* sigma) {
    constexpr bool precise = std::is_same_v<C, double>;
    constexpr std::size_t L = lanes<double>, parts = lanes<C> / L;
    const double share = 1 / static_cast<double>(n);
    alignas(64) double scale[chunk], origin[chunk];
    for (std::size_t j = 0; j < chunk; ++j) {
        scale[j] = precise ? unit_scale(extremes.low[j], extremes.high[j]) : 1.0;
        origin[j] = static_cast<double>(extremes.low[j]) * scale[j];
    }
    for (std::size_t j = 0; j < chunk; j += lanes<C>) {
        Moments moments[parts];
        for (std::size_t p = 0; p < parts; ++p)
            moments[p] = {load_vector(scale + j + p * L), load_vector(origin + j + p * L)};
        add_up(y + j, n, stride, moments);
        if constexpr (precise) {
            moments[0] = {moments[0].scale, moments[0].origin + moments[0].total * share};
            add_up(y + j, n, stride, moments);
        }
        for (std::size_t p = 0; p < parts; ++p) {
            const Vec<double> mean = moments[p].total * share;
            store_vector(sigma + j + p * L, max(Vec<double>{}, moments[p].squares * share - mean * mean));
        }
    }
    for (std::size_t j = 0; j < chunk; ++j) sigma[j] = precise ? std::sqrt(sigma[j]) / scale[j] : std::sqrt(sigma[j]);
}

template <class C>
inline void rescale_extremes(C* y, std::size_t n, std::size_t stride, const Extremes<C>& extremes, double range) {
    alignas(64) double sigma[chunk];
    alignas(64) C new_low[chunk], new_high[chunk];
    find_deviations(y, n, stride, extremes, sigma);
    for (std::size_t j = 0; j < chunk; ++j) {
        const double low = extremes.low[j], high = extremes.high[j], step = high - low > range ? sigma[j] : 0;
        new_low[j] = static_cast<C>(low + step);
        new_high[j] = static_cast<C>(high - step);
    }
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < chunk; ++j) {
            const C v = y[i * stride + j];
            y[i * stride + j] = v == extremes.high[j] ? new_high[j] : v == extremes.low[j] ? new_low[j] : v;
        }
}

template <class C>
inline void find_medians(const C* y, std::size_t n, std::size_t stride, C* middle, C* work) {
    auto* v = reinterpret_cast<Vec<C>*>(work);
    for (std::size_t j = 0; j < chunk; j += lanes<C>) {
        for (std::size_t i = 0; i < n; ++i) v[i] = load_vector(y + i * stride + j);
        store_vector(middle + j, median<C>(v, static_cast<int>(n)));
    }
}

template <class C>
inline void clip_to_median(C* y, std::size_t n, std::size_t stride, const Extremes<C>& extremes, double range,
                           C* work) {
    alignas(64) C middle[chunk], floor[chunk], ceiling[chunk];
    find_medians(y, n, stride, middle, work);
    for (std::size_t j = 0; j < chunk; ++j) {
        const double low = extremes.low[j], high = extremes.high[j];
        const bool wide = high - low > range;
        floor[j] = static_cast<C>(wide ? std::max(low, middle[j] - range / 2) : low);
        ceiling[j] = static_cast<C>(wide ? std::min(high, middle[j] + range / 2) : high);
    }
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < chunk; ++j) {
            const C v = y[i * stride + j], cut = v < floor[j] ? floor[j] : v;
            y[i * stride + j] = cut > ceiling[j] ? ceiling[j] : cut;
        }
}

// `work` holds n * 64 values, aligned.
template <class C>
inline void rescale_chunk(C* y, std::size_t n, std::size_t stride, const Rescale& rescale, C* work) {
    if (n < 3) return;
    Extremes<C> extremes;
    find_extremes(y, n, stride, extremes);
    if (!any_wide(extremes.low, extremes.high, rescale.value_range)) return;
    if (rescale.mode == RescaleMode::paper)
        rescale_extremes(y, n, stride, extremes, rescale.value_range);
    else
        clip_to_median(y, n, stride, extremes, rescale.value_range, work);
}

}  // namespace ra::RA_ISA

// Step A.1 of the reputation rule, on a chunk: 64 columns of n values in the compute type, rows `stride` apart, in
// place. Where a column spans more than the value range, "paper" moves its extremes in by one standard deviation
// (Algorithm 1) and "clip" cuts it to median +- range / 2. Deviations are computed in double; a column of doubles is
// first scaled by a power of two, so that no finite input overflows.
#pragma once

#include <cmath>

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

// total[j] = sum over i of y[i][j] * scale[j] - origin[j], and of its squares.
template <class C>
inline void add_up(const C* y, std::size_t n, std::size_t stride, const double* scale, const double* origin,
                   double* __restrict total, double* __restrict squares) {
    std::fill(total, total + chunk, 0.0);
    std::fill(squares, squares + chunk, 0.0);
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < chunk; ++j) {
            const double u = static_cast<double>(y[i * stride + j]) * scale[j] - origin[j];
            total[j] += u;
            squares[j] += u * u;
        }
}

// Population standard deviation of each column, measured from its lowest value; of doubles, which cannot spare the
// digits that cancel then, from their mean.
template <class C>
inline void find_deviations(const C* y, std::size_t n, std::size_t stride, const Extremes<C>& extremes, double* sigma) {
    constexpr bool precise = std::is_same_v<C, double>;
    const double count = static_cast<double>(n);
    alignas(64) double scale[chunk], origin[chunk], total[chunk], squares[chunk];
    for (std::size_t j = 0; j < chunk; ++j) {
        scale[j] = precise ? unit_scale(extremes.low[j], extremes.high[j]) : 1.0;
        origin[j] = static_cast<double>(extremes.low[j]) * scale[j];
    }
    add_up(y, n, stride, scale, origin, total, squares);
    if (precise) {
        for (std::size_t j = 0; j < chunk; ++j) origin[j] += total[j] / count;
        add_up(y, n, stride, scale, origin, total, squares);
    }
    for (std::size_t j = 0; j < chunk; ++j) {
        const double mean = total[j] / count, variance = squares[j] / count - mean * mean;
        sigma[j] = std::sqrt(variance > 0 ? variance : 0) / scale[j];
    }
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

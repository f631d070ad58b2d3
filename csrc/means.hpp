// What the means share: sums of a strip of coordinates in double, and how they become results.
#pragma once

#include "simd.hpp"
#include "stage.hpp"

namespace ra::RA_ISA {

constexpr std::size_t strip = 1024;  // coordinates: 4 KiB of each row at a time, and their sums stay in the L1 cache

// Half 0 or 1 of v, in double.
template <int h>
inline Vec<double> half_of(Vec<float> v) {
#if defined(RA_AVX512)
    return _mm512_maskz_cvtps_pd(0xff, _mm512_maskz_extractf32x8_ps(0xff, v, h));
#elif defined(__AVX2__)
    return _mm256_cvtps_pd(_mm256_extractf128_ps(v, h));
#elif defined(__SSE2__)
    return _mm_cvtps_pd(h == 0 ? v : _mm_movehl_ps(v, v));
#else
    Vec<double> wide;
    for (int l = 0; l < lanes<double>; ++l) wide[l] = v[h * lanes<double> + l];
    return wide;
#endif
}

// v in double: one vector of doubles, two of floats.
inline void widen_vector(Vec<double> v, Vec<double>* to) { to[0] = v; }
inline void widen_vector(Vec<float> v, Vec<double>* to) {
    to[0] = half_of<0>(v);
    to[1] = half_of<1>(v);
}

// The vector of floats whose halves these are.
inline Vec<float> joined(Vec<double> low, Vec<double> high) {
#if defined(RA_AVX512)
    return _mm512_maskz_insertf32x8(0xffff,
                                    _mm512_maskz_insertf32x8(0xff, Vec<float>{}, _mm512_maskz_cvtpd_ps(0xff, low), 0),
                                    _mm512_maskz_cvtpd_ps(0xff, high), 1);
#elif defined(__AVX2__)
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low)), _mm256_cvtpd_ps(high), 1);
#elif defined(__SSE2__)
    return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
#else
    Vec<float> narrow;
    for (int l = 0; l < lanes<float>; ++l)
        narrow[l] = static_cast<float>(l < lanes<double> ? low[l] : high[l - lanes<double>]);
    return narrow;
#endif
}

// sum[0 .. lanes - 1] += weight * v, in double; sum is one vector for doubles, two for floats.
inline void add_weighted(Vec<double> v, double weight, Vec<double>* sum) { sum[0] += weight * v; }
inline void add_weighted(Vec<float> v, double weight, Vec<double>* sum) {
    sum[0] += weight * half_of<0>(v);
    sum[1] += weight * half_of<1>(v);
}

// A sum in double as a result: rounding must not leave the box of the values that were averaged.
template <class V>
inline V between(const Vec<double>* sum, V low, V high) {
    if constexpr (is_single<V>)
        return max(low, min(high, joined(sum[0], sum[1])));
    else
        return max(low, min(high, sum[0]));
}

constexpr int group = 4;  // rows that are read together, so that sums are loaded and stored once for all of them

// Calls add(count) with a constant: min(left, group).
template <class Add>
void in_group(std::size_t left, const Add& add) {
    switch (left) {
        case 1:
            return add(std::integral_constant<int, 1>{});
        case 2:
            return add(std::integral_constant<int, 2>{});
        case 3:
            return add(std::integral_constant<int, 3>{});
        default:
            add(std::integral_constant<int, group>{});
    }
}

// The rows that will be read after this group, in this strip or from the first row on in the next.
template <class T>
struct Ahead {
    const T* row[group];
    int count = 0;

    Ahead(const Rows<T>& rows, std::size_t i, std::size_t begin) {
        const bool here = i < rows.n;
        const std::size_t first = here ? i : 0, column = here ? begin : begin + strip;
        for (; count < group && first + count < rows.n && column < rows.d; ++count)
            row[count] = rows.at(first + count, column);
    }
    __attribute__((always_inline)) void fetch_chunk(std::size_t c) const {
        for (int g = 0; g < count; ++g) fetch(row[g] + c, chunk);
    }
};

// Calls strips(begin, width, worker) for each strip; a worker takes a few neighbouring ones, so that it may read ahead.
template <class Body>
bool for_strips(std::size_t d, int threads, const Body& body) {
    const std::size_t count = (d + strip - 1) / strip;
    const std::size_t run = std::clamp<std::size_t>(count / (8 * static_cast<std::size_t>(threads)), 1, 16);
    return parallel((count + run - 1) / run, threads, [&](std::size_t task, int worker) {
        const FlushSubnormals flush;
        for (std::size_t begin = task * run * strip; begin < std::min(d, (task + 1) * run * strip); begin += strip)
            if (!body(begin, std::min(strip, d - begin), worker)) return false;
        return true;
    });
}

inline bool all_finite(const double* values, std::size_t count) {
    std::uint64_t bad = 0;
    for (std::size_t j = 0; j < count; ++j) bad |= bits_of(values[j] - values[j]);
    return bad == 0;
}

// `count` elements in the compute type: themselves, or converted into `buffer`.
template <class T>
const Compute<T>* viewed(const T* source, std::size_t count, Compute<T>* buffer) {
    if constexpr (std::is_same_v<T, Compute<T>>) return source;
    widen(source, count, buffer);
    return buffer;
}

// out = sum, what rounding carried past the largest number set back to it.
template <class C>
void store_clamped(const double* sum, std::size_t count, C* out) {
    constexpr double largest = std::numeric_limits<C>::max();
    for (std::size_t j = 0; j < count; ++j) {
        const double below = sum[j] < largest ? sum[j] : largest;
        out[j] = static_cast<C>(below > -largest ? below : -largest);
    }
}

}  // namespace ra::RA_ISA

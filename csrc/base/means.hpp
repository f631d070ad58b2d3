// Values in double, for the sums of all means, and sums as results.
#pragma once

#include <limits>

#include "base/simd.hpp"

namespace ra::RA_ISA {

template <class C>
constexpr std::size_t halves = sizeof(double) / sizeof(C);  // vectors of sums per vector of values

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

// A mean as a result: rounding must not leave the box of the values that were averaged.
template <class V>
inline V between(const Vec<double>* sum, V low, V high) {
    if constexpr (is_single<V>)
        return max(low, min(high, joined(sum[0], sum[1])));
    else
        return max(low, min(high, sum[0]));
}

// A sum in double as a result, what rounding carried past the largest number set back to it.
template <class C>
inline Vec<C> finite_result(const Vec<double>* sum) {
    constexpr double largest = std::numeric_limits<C>::max();
    if constexpr (is_single<Vec<C>>)
        return joined(clamped(sum[0], largest), clamped(sum[1], largest));
    else
        return clamped(sum[0], largest);
}

}  // namespace ra::RA_ISA

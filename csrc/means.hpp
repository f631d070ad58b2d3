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

// sum[0 .. lanes - 1] += weight * v, in double; sum is one vector for doubles, two for floats.
inline void add_weighted(Vec<double> v, double weight, Vec<double>* sum) { sum[0] += weight * v; }
inline void add_weighted(Vec<float> v, double weight, Vec<double>* sum) {
    sum[0] += weight * half_of<0>(v);
    sum[1] += weight * half_of<1>(v);
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

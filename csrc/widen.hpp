// Reading elements in the compute type. Every conversion is exact; subnormal halves survive a flushing processor.
#pragma once

#include <cstring>

#include "rows.hpp"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace ra::RA_ISA {

// Bits of a value as an unsigned integer of its size.
inline std::uint32_t bits_of(float x) {
    std::uint32_t b;
    std::memcpy(&b, &x, sizeof b);
    return b;
}
inline std::uint64_t bits_of(double x) {
    std::uint64_t b;
    std::memcpy(&b, &x, sizeof b);
    return b;
}
inline float float_of(std::uint32_t b) {
    float x;
    std::memcpy(&x, &b, sizeof x);
    return x;
}

inline double double_of(std::uint64_t b) {
    double x;
    std::memcpy(&x, &b, sizeof x);
    return x;
}

template <class T>
inline T load(const T* p) {
    T x;
    std::memcpy(&x, p, sizeof x);
    return x;
}

inline float widened(float x) { return x; }
inline double widened(double x) { return x; }
inline float widened(BFloat16 x) { return float_of(static_cast<std::uint32_t>(x.bits) << 16); }
inline float widened(Half x) {
    const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000U) << 16, magnitude = x.bits & 0x7fffU;
    const std::uint32_t normal = (magnitude << 13) + ((magnitude >= 0x7c00U ? 224U : 112U) << 23);
    const std::uint32_t subnormal = bits_of(float_of((magnitude << 13) + (113U << 23)) - float_of(113U << 23));
    return float_of((magnitude < 0x0400U ? subnormal : normal) | sign);
}

// out[j] = source[j] for j < count. Returns whether all are finite: x - x is 0 for a finite x, else NaN.
template <class T>
inline bool widen_each(const T* source, std::size_t count, Compute<T>* __restrict out) {
    decltype(bits_of(Compute<T>{})) bad = 0;
    for (std::size_t j = 0; j < count; ++j) {
        const Compute<T> x = widened(load(source + j));
        bad |= bits_of(x - x);
        out[j] = x;
    }
    return bad == 0;
}

template <class T>
inline bool widen(const T* source, std::size_t count, Compute<T>* out) {
    return widen_each(source, count, out);
}

#if defined(__F16C__)
// The compiler does not vectorise with the processor's own conversion.
template <>
inline bool widen(const Half* source, std::size_t count, float* out) {
    const std::size_t whole = count / 8 * 8;
    __m256 bad = _mm256_setzero_ps();
    for (std::size_t j = 0; j < whole; j += 8) {
        const __m256 x = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source + j)));
        bad = _mm256_or_ps(bad, _mm256_sub_ps(x, x));
        _mm256_storeu_ps(out + j, x);
    }
    const bool good = _mm256_testz_si256(_mm256_castps_si256(bad), _mm256_castps_si256(bad)) != 0;
    return widen_each(source + whole, count - whole, out + whole) && good;
}
#endif

}  // namespace ra::RA_ISA

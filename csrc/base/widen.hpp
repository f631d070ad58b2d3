// Reading elements in the compute type. Every conversion is exact; subnormal halves survive a flushing processor.
#pragma once

#include <cstring>

#include "base/rows.hpp"
#include "base/simd.hpp"

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

// A vector of elements.
template <class T>
inline Vec<Compute<T>> widened_vector(const T* source) {
    if constexpr (std::is_same_v<T, Compute<T>>) {
        return load_vector(source);
    } else {
        alignas(64) Compute<T> values[lanes<Compute<T>>];
        for (int l = 0; l < lanes<Compute<T>>; ++l) values[l] = widened(load(source + l));
        return load_vector(values);
    }
}
#if defined(__F16C__)
// The compiler does not vectorise with the processor's own conversion.
template <>
inline Vec<float> widened_vector(const Half* source) {
#if defined(RA_AVX512)
    return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source)));
#else
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
#endif
}
#endif

// The first `count` elements of a vector, and zeros.
template <class T>
inline Vec<Compute<T>> widened_part(const T* source, std::size_t count) {
    T values[lanes<Compute<T>>] = {};
    std::memcpy(values, source, count * sizeof(T));
    return widened_vector(values);
}

// out[j] = source[j] for j < count, fewer than a vector has lanes. Returns whether all are finite.
template <class T>
__attribute__((noinline)) bool widen_rest(const T* source, std::size_t count, Compute<T>* out) {
    const Vec<Compute<T>> v = widened_part(source, count);
    for (std::size_t l = 0; l < count; ++l) out[l] = v[l];
    return !any(~equal(v - v, Vec<Compute<T>>{}));
}

// out[j] = source[j] for j < count. Returns whether all are finite: x - x is 0 for a finite x, else NaN.
template <class T>
inline bool widen(const T* source, std::size_t count, Compute<T>* out) {
    using V = Vec<Compute<T>>;
    constexpr std::size_t L = lanes<Compute<T>>;
    V nothing = {};
    std::size_t j = 0;
    for (; j + L <= count; j += L) {
        const V v = widened_vector(source + j);
        nothing += v - v;
        store_vector(out + j, v);
    }
    const bool rest = j == count || widen_rest(source + j, count - j, out + j);
    return !any(~equal(nothing, V{})) && rest;
}

}  // namespace ra::RA_ISA

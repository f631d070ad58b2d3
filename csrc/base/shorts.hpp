// Vectors of 16-bit whole numbers, of which a register holds twice as many as of floats.
#pragma once

#include <cstdint>

#include "base/simd.hpp"

namespace ra::RA_ISA {

using Short = std::int16_t;
using Shorts = Vec<Short>;
template <class T>
constexpr int parts = sizeof(T) / sizeof(Short);  // vectors of T have as many lanes together as one of shorts

// a * b / 2^15 to the nearest whole number.
inline Shorts scaled(Shorts a, Short b) {
#if defined(RA_AVX512)
    return (Shorts)_mm512_mulhrs_epi16((__m512i)a, (__m512i)splat(b));
#elif defined(__AVX2__)
    return (Shorts)_mm256_mulhrs_epi16((__m256i)a, (__m256i)splat(b));
#elif defined(__SSE4_1__)
    return (Shorts)_mm_mulhrs_epi16((__m128i)a, (__m128i)splat(b));
#else
    for (int l = 0; l < lanes<Short>; ++l) a[l] = static_cast<Short>((a[l] * b + (1 << 14)) >> 15);
    return a;
#endif
}
// 2 a, or the largest number there is; 0 <= a.
inline Shorts doubled(Shorts a) {
#if defined(RA_AVX512)
    return (Shorts)_mm512_adds_epi16((__m512i)a, (__m512i)a);
#elif defined(__AVX2__)
    return (Shorts)_mm256_adds_epi16((__m256i)a, (__m256i)a);
#elif defined(__SSE4_1__)
    return (Shorts)_mm_adds_epi16((__m128i)a, (__m128i)a);
#else
    const Shorts half = min(a, splat(Short{(1 << 14) - 1}));
    return half + half;
#endif
}
// Modulo 2^16.
inline Shorts wrapped_sum(Shorts a, Shorts b) {
    using Unsigned = Vec<std::uint16_t>;
    return (Shorts)((Unsigned)a + (Unsigned)b);
}
inline Shorts wrapped_difference(Shorts a, Shorts b) {
    using Unsigned = Vec<std::uint16_t>;
    return (Shorts)((Unsigned)a - (Unsigned)b);
}
// The mean of a <= b, rounded down; b - a fits.
inline Shorts halfway(Shorts a, Shorts b) { return a + ((b - a) >> 1); }

#if defined(RA_AVX512)
inline Mask<Short> less(Shorts a, Shorts b) { return {_mm512_cmplt_epi16_mask((__m512i)a, (__m512i)b)}; }
inline Mask<Short> less_equal(Shorts a, Shorts b) { return {_mm512_cmple_epi16_mask((__m512i)a, (__m512i)b)}; }
inline Shorts choose(Mask<Short> m, Shorts yes, Shorts no) {
    return (Shorts)_mm512_mask_blend_epi16(m.bits, (__m512i)no, (__m512i)yes);
}
inline Shorts add_where(Mask<Short> m, Shorts a, Shorts b) {
    return (Shorts)_mm512_mask_add_epi16((__m512i)a, m.bits, (__m512i)a, (__m512i)b);
}
#else
inline Shorts add_where(Mask<Short> m, Shorts a, Shorts b) { return a + (b & m.lane); }
#endif

#if defined(RA_AVX512)
inline __m512i ints_of(const Vec<float>* v) { return _mm512_maskz_cvttps_epi32(0xffff, *v); }
inline __m512i ints_of(const Vec<double>* v) {
    return _mm512_maskz_inserti64x4(0xff, _mm512_castsi256_si512(_mm512_maskz_cvttpd_epi32(0xff, v[0])),
                                    _mm512_maskz_cvttpd_epi32(0xff, v[1]), 1);
}
inline Shorts packed(__m512i low, __m512i high) {
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    return (Shorts)_mm512_maskz_permutexvar_epi64(0xff, order, _mm512_packs_epi32(low, high));
}
#elif defined(__AVX2__)
inline __m256i ints_of(const Vec<float>* v) { return _mm256_cvttps_epi32(*v); }
inline __m256i ints_of(const Vec<double>* v) {
    return _mm256_set_m128i(_mm256_cvttpd_epi32(v[1]), _mm256_cvttpd_epi32(v[0]));
}
inline Shorts packed(__m256i low, __m256i high) {
    return (Shorts)_mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
}
#elif defined(__SSE4_1__)
inline __m128i ints_of(const Vec<float>* v) { return _mm_cvttps_epi32(*v); }
inline __m128i ints_of(const Vec<double>* v) {
    return _mm_unpacklo_epi64(_mm_cvttpd_epi32(v[0]), _mm_cvttpd_epi32(v[1]));
}
inline Shorts packed(__m128i low, __m128i high) { return (Shorts)_mm_packs_epi32(low, high); }
#endif

// Vectors of T as whole numbers, cut off: below 2^31 the large become the largest there is; a NaN becomes negative.
template <class T>
inline Shorts narrowed(const Vec<T>* v) {
#if defined(__SSE4_1__)
    return packed(ints_of(v), ints_of(v + parts<T> / 2));
#else
    Shorts whole;
    for (int l = 0; l < lanes<Short>; ++l) {
        const T x = v[l / lanes<T>][l % lanes<T>];
        whole[l] = static_cast<Short>(x > -1 ? (x < 32767 ? x : 32767) : -1);
    }
    return whole;
#endif
}
template <class T>
inline void widen_shorts(Shorts a, Vec<T>* to) {
    typedef Short Part __attribute__((vector_size(vector_bytes / parts<T>)));
    for (int p = 0; p < parts<T>; ++p) {
        Part part;
        std::memcpy(&part, reinterpret_cast<const char*>(&a) + static_cast<std::size_t>(p) * sizeof part, sizeof part);
        to[p] = __builtin_convertvector(part, Vec<T>);
    }
}

}  // namespace ra::RA_ISA

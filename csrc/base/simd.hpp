// Vectors of the instruction set that this file is compiled for: Vec<float> and Vec<double>, as wide as its registers.
// They are the compilers' vector types, so + - * / and [] work. Only what those types lack needs intrinsics: AVX-512
// has registers for masks. A Mask<T> says yes or no for each lane.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__SSE4_1__)
#include <immintrin.h>
#endif

#include "base/unroll.hpp"

namespace ra::RA_ISA {

#if defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define RA_AVX512
constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

template <class T>
struct VecOf {
    typedef T type __attribute__((vector_size(vector_bytes)));
};
template <class T>
using Vec = typename VecOf<T>::type;
template <class V>
using Element = std::remove_reference_t<decltype(std::declval<V&>()[0])>;
template <class V>
constexpr bool is_single = sizeof(Element<V>) == 4;
template <class T>
constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));

template <class T>
inline Vec<T> splat(T x) {
    return Vec<T>{} + x;
}
template <class T>
inline Vec<T> load_vector(const T* p) {
    Vec<T> v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class V>
inline void store_vector(Element<V>* p, V v) {
    std::memcpy(p, &v, sizeof v);
}

// To memory, around the caches; p is aligned to whole vectors. Others see it after fence_stores().
template <class V>
inline void store_around_cache(Element<V>* p, V v) {
#if defined(RA_AVX512)
    _mm512_stream_ps(reinterpret_cast<float*>(p), (__m512)v);
#elif defined(__AVX2__)
    _mm256_stream_ps(reinterpret_cast<float*>(p), (__m256)v);
#elif defined(__SSE4_1__)
    _mm_stream_ps(reinterpret_cast<float*>(p), (__m128)v);
#else
    store_vector(p, v);
#endif
}
inline void fence_stores() {
#if defined(__SSE4_1__)
    _mm_sfence();
#endif
}

#if defined(RA_AVX512)

template <class T>
struct Mask {
    std::conditional_t<sizeof(T) == 2, __mmask32, std::conditional_t<sizeof(T) == 4, __mmask16, __mmask8>> bits;
};
template <class T>
inline Mask<T> operator&(Mask<T> a, Mask<T> b) {
    if constexpr (sizeof(T) == 2)
        return {_kand_mask32(a.bits, b.bits)};
    else if constexpr (sizeof(T) == 4)
        return {_kand_mask16(a.bits, b.bits)};
    else
        return {_kand_mask8(a.bits, b.bits)};
}
template <class T>
inline Mask<T> operator|(Mask<T> a, Mask<T> b) {
    if constexpr (sizeof(T) == 2)
        return {_kor_mask32(a.bits, b.bits)};
    else if constexpr (sizeof(T) == 4)
        return {_kor_mask16(a.bits, b.bits)};
    else
        return {_kor_mask8(a.bits, b.bits)};
}
template <class T>
inline Mask<T> operator^(Mask<T> a, Mask<T> b) {
    if constexpr (sizeof(T) == 2)
        return {_kxor_mask32(a.bits, b.bits)};
    else if constexpr (sizeof(T) == 4)
        return {_kxor_mask16(a.bits, b.bits)};
    else
        return {_kxor_mask8(a.bits, b.bits)};
}
template <class T>
inline Mask<T> operator~(Mask<T> a) {
    if constexpr (sizeof(T) == 2)
        return {_knot_mask32(a.bits)};
    else if constexpr (sizeof(T) == 4)
        return {_knot_mask16(a.bits)};
    else
        return {_knot_mask8(a.bits)};
}
template <class T>
inline unsigned bits(Mask<T> m) {
    return m.bits;
}

// A macro, since the predicate must be a constant expression of the intrinsic's call.
#define RA_COMPARE(name, predicate)                       \
    template <class V>                                    \
    inline Mask<Element<V>> name(V a, V b) {              \
        if constexpr (is_single<V>)                       \
            return {_mm512_cmp_ps_mask(a, b, predicate)}; \
        else                                              \
            return {_mm512_cmp_pd_mask(a, b, predicate)}; \
    }
RA_COMPARE(less, _CMP_LT_OQ)
RA_COMPARE(less_equal, _CMP_LE_OQ)
RA_COMPARE(equal, _CMP_EQ_OQ)
#undef RA_COMPARE

template <class V>
inline V choose(Mask<Element<V>> m, V yes, V no) {
    if constexpr (is_single<V>)
        return _mm512_mask_blend_ps(m.bits, no, yes);
    else
        return _mm512_mask_blend_pd(m.bits, no, yes);
}
// a + b in the lanes of m, a elsewhere.
template <class V>
inline V add_where(Mask<Element<V>> m, V a, V b) {
    if constexpr (is_single<V>)
        return _mm512_mask_add_ps(a, m.bits, a, b);
    else
        return _mm512_mask_add_pd(a, m.bits, a, b);
}
// Writes the lanes of m next to each other; up to a whole vector of `out` may be overwritten. Returns how many.
template <class V>
inline int compress(Element<V>* out, Mask<Element<V>> m, V v) {
    if constexpr (is_single<V>)
        store_vector<V>(out, _mm512_maskz_compress_ps(m.bits, v));
    else
        store_vector<V>(out, _mm512_maskz_compress_pd(m.bits, v));
    return __builtin_popcount(m.bits);
}

#else

template <class T>
struct Mask {
    decltype(Vec<T>{} < Vec<T>{}) lane;  // 0 or -1 each
};
template <class T>
inline Mask<T> operator&(Mask<T> a, Mask<T> b) {
    return {a.lane & b.lane};
}
template <class T>
inline Mask<T> operator|(Mask<T> a, Mask<T> b) {
    return {a.lane | b.lane};
}
template <class T>
inline Mask<T> operator^(Mask<T> a, Mask<T> b) {
    return {a.lane ^ b.lane};
}
template <class T>
inline Mask<T> operator~(Mask<T> a) {
    return {~a.lane};
}
template <class T>
inline unsigned bits(Mask<T> m) {
#if defined(__AVX2__)
    if constexpr (sizeof(T) == 2)
        return _pext_u32(static_cast<unsigned>(_mm256_movemask_epi8((__m256i)m.lane)), 0x55555555);
    else if constexpr (sizeof(T) == 4)
        return static_cast<unsigned>(_mm256_movemask_ps((__m256)m.lane));
    else
        return static_cast<unsigned>(_mm256_movemask_pd((__m256d)m.lane));
#elif defined(__SSE4_1__)
    if constexpr (sizeof(T) == 2)
        return static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16((__m128i)m.lane, __m128i{})));
    else if constexpr (sizeof(T) == 4)
        return static_cast<unsigned>(_mm_movemask_ps((__m128)m.lane));
    else
        return static_cast<unsigned>(_mm_movemask_pd((__m128d)m.lane));
#else
    unsigned word = 0;
    for (int l = 0; l < lanes<T>; ++l) word |= static_cast<unsigned>(m.lane[l] & 1) << l;
    return word;
#endif
}
template <class V>
inline Mask<Element<V>> less(V a, V b) {
    return {a < b};
}
template <class V>
inline Mask<Element<V>> less_equal(V a, V b) {
    return {a <= b};
}
template <class V>
inline Mask<Element<V>> equal(V a, V b) {
    return {a == b};
}
template <class V>
inline V choose(Mask<Element<V>> m, V yes, V no) {
    return m.lane ? yes : no;
}
template <class V>
inline V add_where(Mask<Element<V>> m, V a, V b) {
    return a + (V)((decltype(m.lane))b & m.lane);
}
#if defined(__SSE4_1__)
// Of each pattern of lanes: the pieces of a vector, 32 bits each with AVX2 and bytes without, that move to the front.
template <class T>
struct Packing {
    static constexpr int pieces = vector_bytes == 32 ? 8 : 16, each = pieces / lanes<T>;
    alignas(16) unsigned char from[1 << lanes<T>][pieces] = {};

    constexpr Packing() {
        for (int pattern = 0; pattern < 1 << lanes<T>; ++pattern)
            for (int l = 0, to = 0; l < lanes<T>; ++l)
                for (int k = 0; k < each && (pattern >> l & 1) != 0; ++k)
                    from[pattern][to++] = static_cast<unsigned char>(l * each + k);
    }
};
template <class T>
inline constexpr Packing<T> packing{};
#endif

template <class V>
inline int compress(Element<V>* out, Mask<Element<V>> m, V v) {
    const unsigned pattern = bits(m);
#if defined(__AVX2__)
    const auto* from = reinterpret_cast<const __m128i*>(packing<Element<V>>.from[pattern]);
    const __m256i order = _mm256_cvtepu8_epi32(_mm_loadl_epi64(from));
    store_vector<V>(out, (V)_mm256_permutevar8x32_epi32((__m256i)v, order));
    return __builtin_popcount(pattern);
#elif defined(__SSE4_1__)
    const auto* from = reinterpret_cast<const __m128i*>(packing<Element<V>>.from[pattern]);
    store_vector<V>(out, (V)_mm_shuffle_epi8((__m128i)v, _mm_load_si128(from)));
    return __builtin_popcount(pattern);
#else
    int count = 0;
    for (unsigned left = pattern; left != 0; left &= left - 1) out[count++] = v[__builtin_ctz(left)];
    return count;
#endif
}

#endif

// One instruction each, as long as comparisons may be assumed not to trap (-fno-trapping-math).
template <class V>
inline V min(V a, V b) {
    return a < b ? a : b;
}
template <class V>
inline V max(V a, V b) {
    return a > b ? a : b;
}
// What is known of values that are ordered. Numbers without a sign are ordered like their bits as whole numbers, and
// processors compare those on other units, too: a minimum of one kind beside a maximum of the other keeps more of them
// busy (Zen 4 runs one and a half times as many).
enum class Signs { any, none };

template <Signs signs, class V>
inline V larger(V a, V b) {
    if constexpr (signs == Signs::any || !is_single<V>) return max(a, b);
#if defined(RA_AVX512)
    return (V)_mm512_maskz_max_epi32(0xffff, (__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (V)_mm256_max_epi32((__m256i)a, (__m256i)b);
#elif defined(__SSE4_1__)
    return (V)_mm_max_epi32((__m128i)a, (__m128i)b);
#else
    return max(a, b);
#endif
}
template <class V>
inline V abs(V a) {
    using Bits = decltype(a < a);
    return (V)((Bits)a & ~(Bits)-V{});  // without the sign bit
}

template <class V>
inline V square_root(V a) {
#if defined(RA_AVX512)
    if constexpr (is_single<V>)
        return _mm512_maskz_sqrt_ps(0xffff, a);
    else
        return _mm512_maskz_sqrt_pd(0xff, a);
#else
    for (int l = 0; l < lanes<Element<V>>; ++l) a[l] = std::sqrt(a[l]);
    return a;
#endif
}

inline Vec<double> clamped(Vec<double> v, double limit) { return max(splat(-limit), min(splat(limit), v)); }

// a * b + c, rounded once where the processor has an instruction for it.
inline Vec<double> multiply_add(Vec<double> a, Vec<double> b, Vec<double> c) {
#if defined(RA_AVX512)
    return _mm512_fmadd_pd(a, b, c);
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_fmadd_pd(a, b, c);
#elif defined(__aarch64__)
    for (int l = 0; l < lanes<double>; ++l) c[l] = __builtin_fma(a[l], b[l], c[l]);
    return c;
#else
    return a * b + c;
#endif
}

template <class T>
inline bool any(Mask<T> m) {
    return bits(m) != 0;
}

}  // namespace ra::RA_ISA

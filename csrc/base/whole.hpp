// Vectors of whole numbers as wide as T: the bits of a Vec<T>. Shifts, masks and sums are the compilers'; what they
// lack is here.
#pragma once

#include "base/simd.hpp"

namespace ra::RA_ISA {

template <class T>
using Whole = decltype(Vec<T>{} < Vec<T>{});
template <class T>
using Integer = Element<Whole<T>>;

// Which of v have, or lack, some bits of `which`; a plus, or minus, b in the lanes of m; a plus 1 there.
#if defined(RA_AVX512)
template <class T>
inline Mask<T> has_bits(Whole<T> v, Integer<T> which) {
    if constexpr (sizeof(T) == 4)
        return {_mm512_test_epi32_mask((__m512i)v, _mm512_set1_epi32(which))};
    else
        return {_mm512_test_epi64_mask((__m512i)v, _mm512_set1_epi64(which))};
}
template <class T>
inline Mask<T> lacks_bits(Whole<T> v, Integer<T> which) {
    if constexpr (sizeof(T) == 4)
        return {_mm512_testn_epi32_mask((__m512i)v, _mm512_set1_epi32(which))};
    else
        return {_mm512_testn_epi64_mask((__m512i)v, _mm512_set1_epi64(which))};
}
template <class T>
inline Whole<T> add_where(Mask<T> m, Whole<T> a, Whole<T> b) {
    if constexpr (sizeof(T) == 4)
        return (Whole<T>)_mm512_mask_add_epi32((__m512i)a, m.bits, (__m512i)a, (__m512i)b);
    else
        return (Whole<T>)_mm512_mask_add_epi64((__m512i)a, m.bits, (__m512i)a, (__m512i)b);
}
template <class T>
inline Whole<T> subtract_where(Mask<T> m, Whole<T> a, Whole<T> b) {
    if constexpr (sizeof(T) == 4)
        return (Whole<T>)_mm512_mask_sub_epi32((__m512i)a, m.bits, (__m512i)a, (__m512i)b);
    else
        return (Whole<T>)_mm512_mask_sub_epi64((__m512i)a, m.bits, (__m512i)a, (__m512i)b);
}
template <class T>
inline Whole<T> count_where(Mask<T> m, Whole<T> a) {
    return add_where<T>(m, a, Whole<T>{} + 1);
}
#else
template <class T>
inline Whole<T> count_where(Mask<T> m, Whole<T> a) {
    return a - m.lane;
}
template <class T>
inline Mask<T> has_bits(Whole<T> v, Integer<T> which) {
    return {(v & which) != 0};
}
template <class T>
inline Mask<T> lacks_bits(Whole<T> v, Integer<T> which) {
    return {(v & which) == 0};
}
template <class T>
inline Whole<T> add_where(Mask<T> m, Whole<T> a, Whole<T> b) {
    return a + (b & m.lane);
}
template <class T>
inline Whole<T> subtract_where(Mask<T> m, Whole<T> a, Whole<T> b) {
    return a - (b & m.lane);
}
#endif

}  // namespace ra::RA_ISA

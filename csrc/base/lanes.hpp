// From the lanes of vectors to single numbers.
#pragma once

#include "base/whole.hpp"

namespace ra::RA_ISA {

template <int by, class V, int... l>
inline V rotate(V v, std::integer_sequence<int, l...>) {
    return __builtin_shufflevector(v, v, ((l + by) % static_cast<int>(sizeof...(l)))...);
}
template <class V>
inline Element<V> largest(V v) {
    constexpr int count = lanes<Element<V>>;
    unroll<__builtin_ctz(count)>(
        [&](auto k) { v = max(v, rotate<(count >> 1 >> k)>(v, std::make_integer_sequence<int, count>{})); });
    return v[0];
}

template <class T>
inline Integer<T> total(Whole<T> v) {
    unroll<__builtin_ctz(lanes<T>)>(
        [&](auto k) { v += rotate<(lanes<T> >> 1 >> k)>(v, std::make_integer_sequence<int, lanes<T>>{}); });
    return v[0];
}

// The sum of the lanes, halves first.
inline double total(Vec<double> v) {
#if defined(RA_AVX512)
    const __m256d half = _mm512_maskz_extractf64x4_pd(0xff, v, 0) + _mm512_maskz_extractf64x4_pd(0xff, v, 1);
    return (half[0] + half[2]) + (half[1] + half[3]);
#else
    for (int width = lanes<double> / 2; width > 0; width /= 2)
        for (int l = 0; l < width; ++l) v[l] += v[l + width];
    return v[0];
#endif
}

// Of each two blocks of `width` lanes, the first or the second, of a and b in turn.
template <int width, int which, int... l>
inline Vec<double> blocks(Vec<double> a, Vec<double> b, std::integer_sequence<int, l...>) {
    constexpr int L = lanes<double>;
    return __builtin_shufflevector(a, b, (l / width % 2 * L + (l / width / 2 * 2 + which) * width + l % width)...);
}
// v[k] and v[k + 1] become one vector of sums of neighbours, until the only one holds the sums of all lanes of each.
template <int width>
inline Vec<double> totals_of(Vec<double>* v) {
    if constexpr (width < lanes<double>) {
        constexpr std::make_integer_sequence<int, lanes<double>> all;
        unroll<lanes<double> / width / 2>([&](auto k) {
            v[k] = blocks<width, 0>(v[2 * k], v[2 * k + 1], all) + blocks<width, 1>(v[2 * k], v[2 * k + 1], all);
        });
        return totals_of<2 * width>(v);
    }
    return v[0];
}
// out[k] = the sum of the lanes of v[k], neighbours first; out has room for a vector more.
template <int count>
inline void totals(const Vec<double>* v, double* out) {
    constexpr int L = lanes<double>;
    unroll<(count + L - 1) / L>([&](auto group) {
        Vec<double> some[L] = {};
        unroll<L>([&](auto k) {
            if constexpr (group * L + k < count) some[k] = v[group * L + k];
        });
        store_vector(out + group * L, totals_of<1>(some));
    });
}

}  // namespace ra::RA_ISA

// The median slope of every row, s_i = median over j != i of (y_j - y_i) / (j - i), by selection networks: all lanes at
// once, n^2 slopes and n straight-line networks of n - 1 inputs.
#pragma once

#include "line/design.hpp"
#include "order/networks.hpp"

namespace ra::RA_ISA {

// Of few clients, in registers.
template <class T, int n>
inline void row_medians(const Gaps<T>& gaps, const Vec<T>* y, Vec<T>* s, Few<n>) {
    const T* reciprocal = gaps.from(0);
    unroll<n>([&](auto i) {
        Vec<T> v[n - 1];
        unroll<i>([&](auto j) { v[j] = (y[i] - y[j]) * reciprocal[i - j]; });
        unroll<n - 1 - i>([&](auto k) { v[i + k] = (y[i + 1 + k] - y[i]) * reciprocal[1 + k]; });
        s[i] = median<T, Signs::none>(v, Few<n - 1>{});
    });
}

// 2 <= n <= 2 straight_line; straight-line code up to n = straight_line, of halves above. work: n vectors.
template <class T>
void row_medians(const Gaps<T>& gaps, const Vec<T>* y, Vec<T>* s, Vec<T>* work);

}  // namespace ra::RA_ISA

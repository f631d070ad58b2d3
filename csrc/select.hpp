// placeholder
#pragma once
#include "stage.hpp"
#include "simd.hpp"
namespace ra::RA_ISA {
template <class C>
inline void median_of_chunk(const C* y, std::size_t n, std::size_t stride, C* out, C* work) {
    for (std::size_t j = 0; j < chunk; ++j) {
        for (std::size_t i = 0; i < n; ++i) {
            std::size_t p = i;
            const C v = y[i * stride + j];
            for (; p > 0 && work[p - 1] > v; --p) work[p] = work[p - 1];
            work[p] = v;
        }
        out[j] = n % 2 ? work[n / 2] : work[n / 2 - 1] / 2 + work[n / 2] / 2;
    }
}
}

// A vector of columns on their way through the rule: sorted, then scaled and centred for the arithmetic.
#pragma once

#include "arena.hpp"
#include "networks.hpp"

namespace ra::RA_ISA {

template <class T>
struct Columns {
    Vec<T>* sorted;   // the n values in order
    Vec<T>* centred;  // (sorted - centre) * scale
    Vec<T> centre, scale;

    Columns(Arena& arena, std::size_t n) : sorted(arena.take<Vec<T>>(n)), centred(arena.take<Vec<T>>(n)) {}

    // column: value i of each lane at column[i * stride].
    void load(const T* column, int n, std::size_t stride) {
        for (int i = 0; i < n; ++i) sorted[i] = load_vector(column + static_cast<std::size_t>(i) * stride);
        sort<T>(sorted, n);
        prepare(n);
    }

    Vec<T> median(int n) const { return sorted[(n - 1) / 2] * T(0.5) + sorted[n / 2] * T(0.5); }

  private:
    // Scaled by a power of two, so that no difference overflows; centred on a value of the column, so that a large
    // common offset costs no digits: the difference of neighbouring floats is exact.
    void prepare(int n) {
        constexpr T large = sizeof(T) == 4 ? T(0x1p100) : T(0x1p900), smaller = T(0x1p-30);
        const Vec<T> largest = max(abs(sorted[0]), abs(sorted[n - 1]));
        scale = choose(less(splat(large), largest), splat(smaller), splat(T(1)));
        centre = sorted[(n - 1) / 2];
        const Vec<T> scaled = centre * scale;
        for (int i = 0; i < n; ++i) centred[i] = sorted[i] * scale - scaled;
    }
};

}  // namespace ra::RA_ISA

// A vector of columns on their way through the rule: sorted, then scaled and centred for the arithmetic.
#pragma once

#include "base/arena.hpp"
#include "order/networks.hpp"

namespace ra::RA_ISA {

// A vector of columns, values `stride` apart.
template <class T>
struct InMemory {
    T* first;
    std::size_t stride;

    Vec<T> get(int i) const { return load_vector(first + static_cast<std::size_t>(i) * stride); }
    void set(int i, Vec<T> v) const { store_vector(first + static_cast<std::size_t>(i) * stride, v); }
};
template <class T>
struct Columns {
    Vec<T>* sorted;   // the n values in order
    Vec<T>* centred;  // (sorted - centre) * scale
    Vec<T> centre, scale;

    Columns(Vec<T>* sorted_, Vec<T>* centred_) : sorted(sorted_), centred(centred_) {}
    Columns(Arena& arena, std::size_t n) : Columns(arena.take<Vec<T>>(n), arena.take<Vec<T>>(n)) {}

    // n: an int, or Few.
    template <class N>
    void load(InMemory<T> y, N n) {
        each(n, [&](auto i) { sorted[i] = y.get(i); });
        sort<T>(sorted, n);
        prepare(n);
    }

    Vec<T> median(int n) const { return middle<T>(sorted, n); }

  private:
    // Scaled by a power of two, so that no difference overflows; centred on a value of the column, so that a large
    // common offset costs no digits: the difference of neighbouring floats is exact.
    template <class N>
    void prepare(N n) {
        constexpr T large = sizeof(T) == 4 ? T(0x1p100) : T(0x1p900), smaller = T(0x1p-30);
        const Mask<T> huge = less(splat(large), max(abs(sorted[0]), abs(sorted[n - 1])));
        scale = choose(huge, splat(smaller), splat(T(1)));
        centre = sorted[(n - 1) / 2];
        if (any(huge))
            each(n, [&](auto i) { centred[i] = sorted[i] * scale - centre * scale; });
        else
            each(n, [&](auto i) { centred[i] = sorted[i] - centre; });
    }
};

}  // namespace ra::RA_ISA

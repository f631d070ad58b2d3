// What the means share: sums of a strip of coordinates in double, and how they become results.
#pragma once

#include "stage.hpp"

namespace ra::RA_ISA {

constexpr std::size_t strip = 1024;  // coordinates: 4 KiB of each row at a time, and their sums stay in the L1 cache

inline bool all_finite(const double* values, std::size_t count) {
    std::uint64_t bad = 0;
    for (std::size_t j = 0; j < count; ++j) bad |= bits_of(values[j] - values[j]);
    return bad == 0;
}

// `count` elements in the compute type: themselves, or converted into `buffer`.
template <class T>
const Compute<T>* viewed(const T* source, std::size_t count, Compute<T>* buffer) {
    if constexpr (std::is_same_v<T, Compute<T>>) return source;
    widen(source, count, buffer);
    return buffer;
}

// out = sum, what rounding carried past the largest number set back to it.
template <class C>
void store_clamped(const double* sum, std::size_t count, C* out) {
    constexpr double largest = std::numeric_limits<C>::max();
    for (std::size_t j = 0; j < count; ++j) {
        const double below = sum[j] < largest ? sum[j] : largest;
        out[j] = static_cast<C>(below > -largest ? below : -largest);
    }
}

}  // namespace ra::RA_ISA

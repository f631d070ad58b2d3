// Where a kernel writes a result.
#pragma once

#include <algorithm>
#include <cstdint>

#include "simd.hpp"

namespace ra::RA_ISA {

template <class C>
inline void store_part(C* out, Vec<C> v, std::size_t count) {
    if (count >= lanes<C>) return store_vector(out, v);
    alignas(64) C values[lanes<C>];
    store_vector(values, v);
    std::copy(values, values + count, out);
}

// A vector of d values. Where it is larger than a cache, it is written around the caches: lines that are overwritten
// whole need not be read first, and the updates' lines may stay.
template <class C>
class Output {
  public:
    Output(C* to, std::size_t d)
        : to_(to), around_(d * sizeof(C) >= large && reinterpret_cast<std::uintptr_t>(to) % sizeof(Vec<C>) == 0) {}

    C* at(std::size_t j) const { return to_ + j; }
    // Values j ... j + count - 1, at most a vector; j is a multiple of its lanes.
    void put(std::size_t j, Vec<C> v, std::size_t count) const {
        if (around_ && count >= lanes<C>)
            store_around_cache(to_ + j, v);
        else
            store_part(to_ + j, v, count);
    }
    // What this thread has put becomes visible to others.
    void finish() const {
        if (around_) fence_stores();
    }

  private:
    static constexpr std::size_t large = std::size_t{8} << 20;  // bytes

    C* to_;
    bool around_;
};

}  // namespace ra::RA_ISA

// Where a kernel writes a result.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/simd.hpp"
#include "kernels.hpp"

namespace ra::RA_ISA {

template <class C>
inline void store_part(C* out, Vec<C> v, std::size_t count) {
    if (count >= lanes<C>) return store_vector(out, v);
    alignas(64) C values[lanes<C>];
    store_vector(values, v);
    std::copy(values, values + count, out);
}

// out[j] = values[j] in half precision, for j < count; see narrow.cpp.
void narrow_values(const float* values, std::size_t count, DType to, void* out);

inline Result in_compute_type(double* values) { return {values, DType::f64}; }
inline Result in_compute_type(float* values) { return {values, DType::f32}; }

// One thread's way to write a result of d values, a piece of neighbouring columns after the other. A result larger than
// a cache is written around the caches: lines that are overwritten whole need not be read first, and the updates' lines
// may stay. In half precision a piece is narrowed when it is complete.
template <class C>
class Output {
  public:
    static constexpr std::size_t longest = 4096;  // piece

    Output(Result to, std::size_t d)
        : to_(to),
          halves_(is_half(to.dtype)),
          around_(!halves_ && d * sizeof(C) >= large &&
                  reinterpret_cast<std::uintptr_t>(to.values) % sizeof(Vec<C>) == 0),
          piece_(static_cast<C*>(to.values)) {}

    // A piece begins at column j.
    void start(std::size_t j) {
        if (halves_) {
            piece_ = held_;
            first_ = j;
        }
    }
    // Values j ... j + count - 1 of the piece, at most a vector; j is a multiple of its lanes.
    void put(std::size_t j, Vec<C> v, std::size_t count) {
        if (around_ && count >= lanes<C>)
            store_around_cache(piece_ + (j - first_), v);
        else
            store_part(piece_ + (j - first_), v, count);
    }
    // The piece of `width` columns is complete.
    void complete(std::size_t width) {
        if constexpr (is_single<Vec<C>>)
            if (halves_) narrow_values(held_, width, to_.dtype, static_cast<std::uint16_t*>(to_.values) + first_);
    }
    // What this thread has put becomes visible to others.
    void finish() const {
        if (around_) fence_stores();
    }

  private:
    static constexpr std::size_t large = std::size_t{8} << 20;  // bytes

    const Result to_;
    const bool halves_, around_;
    std::size_t first_ = 0;
    C* piece_;
    alignas(64) C held_[is_single<Vec<C>> ? longest : 1];
};

}  // namespace ra::RA_ISA

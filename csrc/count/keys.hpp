// The key of a magnitude is the 31 bits below the sign: all of a float's, of a double the upper ones. Keys are ordered
// like magnitudes.
#pragma once

#include "base/stage.hpp"

namespace ra::RA_ISA {

inline std::uint32_t key_of(float x) { return bits_of(x) & 0x7fffffffU; }
inline std::uint32_t key_of(double x) { return static_cast<std::uint32_t>(bits_of(x) >> 32) & 0x7fffffffU; }

// The least magnitude of a key.
template <class C>
C of_key(std::int32_t key) {
    using Bits = std::conditional_t<sizeof(C) == 4, std::uint32_t, std::uint64_t>;
    const Bits bits = static_cast<Bits>(static_cast<std::uint32_t>(key)) << (8 * sizeof(C) - 32);
    C value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace ra::RA_ISA

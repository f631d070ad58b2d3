// The key of a magnitude is the 31 bits below the sign: all of a float's, of a double the upper ones. Keys are ordered
// like magnitudes.
#pragma once

#include "base/stage.hpp"

namespace ra::RA_ISA {

inline std::uint32_t key_of(float x) { return bits_of(x) & 0x7fffffffU; }
inline std::uint32_t key_of(double x) { return static_cast<std::uint32_t>(bits_of(x) >> 32) & 0x7fffffffU; }

}  // namespace ra::RA_ISA

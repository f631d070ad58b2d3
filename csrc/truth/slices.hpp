// Slices of answers: see kernels.hpp.
#pragma once

#include "truth/answers.hpp"

namespace ra::RA_ISA {

inline const std::int32_t* items_of(const Slices& slices, std::size_t s) {
    return slices.items + (s < slices.wide ? s : slices.wide + (s - slices.wide) * Slices::width);
}

}  // namespace ra::RA_ISA

// One table of function pointers per instruction set, and the one in force.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace ra {

struct Kernels {
    const char* isa;
#define RA_MEMBER(name, result, arguments) result(*name) arguments;
    RA_KERNELS(RA_MEMBER)
#undef RA_MEMBER
};

const Kernels& kernels();             // the table in force: at first the best that this processor runs
std::vector<std::string> usable();    // names of the sets that this processor runs, best first
bool choose(const std::string& isa);  // false: unknown, or not for this processor

}  // namespace ra

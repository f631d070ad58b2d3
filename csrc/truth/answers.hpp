// Answers in compressed rows, an item a row, and the sums of whole numbers that make every result independent of order
// and of threads: a term is rounded to a multiple of 2^-unit and added up as a 64-bit integer.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "base/parallel.hpp"
#include "kernels.hpp"

namespace ra::RA_ISA {

constexpr std::size_t items_of_a_task = 2048;

inline std::size_t tasks_of(std::size_t items) { return (items + items_of_a_task - 1) / items_of_a_task; }

inline std::size_t last_of(std::size_t task, std::size_t items) {
    const std::size_t end = (task + 1) * items_of_a_task;
    return end < items ? end : items;
}

inline double power(int exponent) {  // 2^exponent, exactly
    const std::uint64_t bits = static_cast<std::uint64_t>(1023 + exponent) << 52;
    double value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

inline int bits_of(std::int64_t count) { return 64 - __builtin_clzll(static_cast<std::uint64_t>(count)); }

inline std::int64_t whole(double term) { return std::llrint(term); }

// The units of one row's sums, by its number of answers: of weights, which are 1 at most, and of weights times z.
struct Units {
    double weight, weight_z;
    explicit Units(std::int64_t count) {
        const int bits = bits_of(count);
        weight = power(62 - bits);
        weight_z = power(61 - bits - (bits + 1) / 2);
    }
};

// Largest weight of a row, and one over it; where all are zero, every answer has the relative weight 1.
struct Relative {
    double inverse = 1.0;
    bool alike;
    Relative(const Answers& answers, const double* weights, std::int64_t begin, std::int64_t end) {
        double largest = 0.0;
        for (std::int64_t a = begin; a < end; ++a) {
            const double w = weights[answers.workers[a]];
            largest = w > largest ? w : largest;
        }
        alike = largest == 0.0;
        if (!alike) inverse = 1.0 / largest;
    }
    double operator()(double weight) const { return alike ? 1.0 : weight * inverse; }
};

}  // namespace ra::RA_ISA

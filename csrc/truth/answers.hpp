// Answers in compressed rows, an item a row, and the sums of whole numbers that make every result independent of order
// and of threads: a term is rounded to a multiple of 2^-unit and added up as a 64-bit integer.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "base/parallel.hpp"
#include "kernels.hpp"

namespace ra::RA_ISA {

constexpr std::int64_t answers_of_a_task = 16384;

// visit(n, worker) for each row; a task is the rows that begin in a stretch of answers. `starts` counts answers, or
// what has so many of them to a step.
template <class Visit>
void each_row(const std::int64_t* starts, std::size_t rows, std::int64_t step, int threads, const Visit& visit) {
    if (rows == 0) return;
    const std::int64_t stretch = answers_of_a_task / step;
    const auto first = [=](std::size_t task) {
        return static_cast<std::size_t>(
            std::lower_bound(starts, starts + rows, static_cast<std::int64_t>(task) * stretch) - starts);
    };
    const auto tasks = static_cast<std::size_t>(starts[rows - 1] / stretch) + 1;
    parallel(tasks, threads, [&](std::size_t task, int worker) {
        const std::size_t end = first(task + 1);
        for (std::size_t n = first(task); n < end; ++n) visit(n, worker);
        return true;
    });
}

inline double power(int exponent) {  // 2^exponent, exactly
    const std::uint64_t bits = static_cast<std::uint64_t>(1023 + exponent) << 52;
    double value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

inline int bits_of(std::int64_t count) { return 64 - __builtin_clzll(static_cast<std::uint64_t>(count)); }

inline std::int64_t whole(double term) { return std::llrint(term); }

// The units of one row's sums, by its number of answers: of weights, which are 1 at most, and of weights times z. A
// term has 51 bits at most, for vectors to round.
struct Units {
    double weight, weight_z;
    explicit Units(std::int64_t count) {
        const int bits = bits_of(count), z_bits = (bits + 1) / 2 + 1;
        const int unit = std::min(51, 62 - bits);
        weight = power(unit);
        weight_z = power(unit - z_bits);
    }
};

}  // namespace ra::RA_ISA

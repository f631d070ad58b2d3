// Answers into their slices: gaps are filled with an answer of the slice, which nobody gave. O(A).
#include "truth/slices.hpp"

namespace ra::RA_ISA {

void arranged(const Answers& answers, const Slices& slices, std::int32_t* workers, double* values, int threads) {
    constexpr auto width = static_cast<std::int64_t>(Slices::width);
    const auto gap = static_cast<std::int32_t>(answers.count);
    each_row(slices.starts, slices.count, width, threads, [&](std::size_t s, int) {
        const bool wide = s < slices.wide;
        const std::int64_t begin = slices.starts[s] * width, end = slices.starts[s + 1] * width;
        const std::int32_t* items = items_of(slices, s);
        std::fill(workers + begin, workers + end, gap);
        std::fill(values + begin, values + end, answers.values[answers.starts[items[0]]]);
        for (std::int64_t l = 0; l < (wide ? 1 : width) && items[l] >= 0; ++l) {
            const std::int64_t first = answers.starts[items[l]], count = answers.starts[items[l] + 1] - first;
            const bool full = wide && count == static_cast<std::int64_t>(answers.count);
            for (std::int64_t a = first; a < first + count; ++a) {
                const std::int64_t to = full ? answers.workers[a] : wide ? a - first : l + width * (a - first);
                workers[begin + to] = answers.workers[a];
                values[begin + to] = answers.values[a];
            }
        }
    });
}

}  // namespace ra::RA_ISA

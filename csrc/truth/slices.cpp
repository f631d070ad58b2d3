// Answers as vectors read them: items with many answers are slices of their own, of the others eight stand side by
// side. O(A + N).
#include "truth/slices.hpp"

#include <numeric>

namespace ra::RA_ISA {

namespace {

constexpr auto width = static_cast<std::int64_t>(Slices::width);
constexpr std::size_t window = 4096;

std::int64_t eights(std::int64_t count) { return (count + width - 1) / width; }

}  // namespace

// Items with many answers first, then the others, those of a window by their numbers of answers: near items are near
// each other in memory, and few lanes are left empty. `order` has room for eight more than there are items.
void slice_items(const std::int64_t* starts, std::size_t items, std::int32_t* order, std::int64_t* slice_starts,
                 std::size_t* slices, std::size_t* wide) {
    const auto count = [&](std::int32_t n) { return starts[n + 1] - starts[n]; };
    std::iota(order, order + items, 0);
    *wide = static_cast<std::size_t>(
        std::stable_partition(order, order + items, [&](std::int32_t n) { return count(n) > tallest; }) - order);
    for (std::size_t n = *wide; n < items; n += window)
        std::stable_sort(order + n, order + std::min(n + window, items),
                         [&](std::int32_t a, std::int32_t b) { return count(a) > count(b); });
    std::fill_n(order + items, width, -1);
    std::size_t s = 0;
    std::int64_t start = 0;
    for (std::size_t n = 0; n < items; n += n < *wide ? 1 : width) {
        slice_starts[s++] = start;
        const std::int64_t most = count(order[n]);
        start += n < *wide ? eights(most) : most;
    }
    slice_starts[s] = start;
    *slices = s;
}

void slice_answers(const Answers& answers, const Slices& slices, std::int32_t* workers, double* values, int threads) {
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

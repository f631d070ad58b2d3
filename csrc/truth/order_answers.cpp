// Answers into rows: a stable counting sort by key, and each row by value and then by worker. O(A log c).
#include "truth/answers.hpp"

namespace ra::RA_ISA {

namespace {

struct Answer {
    double value;
    std::int32_t worker;
    bool operator<(const Answer& other) const {
        return value < other.value || (value == other.value && worker < other.worker);
    }
};

std::size_t longest_row(const std::int64_t* starts, std::size_t items) {
    std::int64_t longest = 0;
    for (std::size_t n = 0; n < items; ++n) longest = std::max(longest, starts[n + 1] - starts[n]);
    return static_cast<std::size_t>(longest);
}

}  // namespace

void group_answers(const std::int32_t* keys, std::size_t size, std::size_t count, std::int64_t* starts,
                   std::int32_t* order) {
    // First starts[k + 1] is where key k is put next; in the end, where it ended.
    std::fill_n(starts, count + 1, 0);
    for (std::size_t a = 0; a < size; ++a)
        if (static_cast<std::size_t>(keys[a]) + 2 <= count) ++starts[keys[a] + 2];
    for (std::size_t k = 2; k <= count; ++k) starts[k] += starts[k - 1];
    for (std::size_t a = 0; a < size; ++a) order[starts[keys[a] + 1]++] = static_cast<std::int32_t>(a);
}

void sort_answers(const std::int64_t* starts, std::size_t items, std::int32_t* workers, double* values, int threads) {
    const Scratch scratch(threads, longest_row(starts, items) * sizeof(Answer));
    each_row(starts, items, 1, threads, [&](std::size_t n, int worker) {
        auto* row = static_cast<Answer*>(scratch.of(worker));
        const std::int64_t begin = starts[n], count = starts[n + 1] - begin;
        for (std::int64_t a = 0; a < count; ++a) row[a] = {values[begin + a], workers[begin + a]};
        std::sort(row, row + count);
        for (std::int64_t a = 0; a < count; ++a) values[begin + a] = row[a].value, workers[begin + a] = row[a].worker;
    });
}

// Mean and population standard deviation of sorted rows, in units of the row's width.
void spread_answers(const std::int64_t* starts, std::size_t items, const double* values, double smallest, double* mean,
                    double* deviation, int threads) {
    each_row(starts, items, 1, threads, [&](std::size_t n, int) {
        const std::int64_t begin = starts[n], end = starts[n + 1];
        const double low = values[begin], width = values[end - 1] - low;
        mean[n] = low;
        deviation[n] = 0.0;
        if (!(width >= smallest)) return;
        const double inverse = 1.0 / width, unit = Units(end - begin).weight;
        const double count = static_cast<double>(end - begin);
        std::int64_t sum = 0, squares = 0;
        for (std::int64_t a = begin; a < end; ++a) sum += whole((values[a] - low) * inverse * unit);
        const double centre = static_cast<double>(sum) * (1.0 / unit) / count;
        for (std::int64_t a = begin; a < end; ++a) {
            const double off = (values[a] - low) * inverse - centre;
            squares += whole(off * off * unit);
        }
        mean[n] = low + centre * width;
        deviation[n] = width * std::sqrt(static_cast<double>(squares) * (1.0 / unit) / count);
    });
}

}  // namespace ra::RA_ISA

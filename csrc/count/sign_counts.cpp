// counts[2 i], counts[2 i + 1] = how many values of row i are positive, and negative. Reads every row once, O(nd).
#include "base/stage.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t piece = 1 << 15;  // values: long enough to stream, short enough to share out a single row

// Adds to positive and negative; false when it met a NaN or an infinity.
template <class T>
bool count_signs(const T* source, std::size_t count, std::int64_t& positive, std::int64_t& negative) {
    constexpr std::size_t strip = 512;
    alignas(64) Compute<T> values[strip];
    bool finite = true;
    for (std::size_t begin = 0; begin < count; begin += strip) {
        const std::size_t width = std::min(strip, count - begin);
        finite &= widen(source + begin, width, values);
        std::int32_t above = 0, below = 0;
        for (std::size_t j = 0; j < width; ++j) {
            above += values[j] > 0;
            below += values[j] < 0;
        }
        positive += above;
        negative += below;
    }
    return finite;
}

}  // namespace

bool sign_counts(const RowsView& view, std::int64_t* counts, int threads) {
    threads = threads_for(view, 0.3, threads);
    return visit(view, [&](auto rows) {
        const std::size_t pieces = (rows.d + piece - 1) / piece, all = 2 * rows.n;
        const Scratch scratch(threads, all * sizeof(std::int64_t));  // each worker counts for itself
        const auto of = [&](int worker) { return static_cast<std::int64_t*>(scratch.of(worker)); };
        for (int w = 0; w < threads; ++w) std::fill(of(w), of(w) + all, 0);
        const bool finite = parallel(rows.n * pieces, threads, [&](std::size_t task, int worker) {
            const std::size_t i = task / pieces, begin = task % pieces * piece;
            std::int64_t* own = of(worker) + 2 * i;
            return count_signs(rows.at(i, begin), std::min(piece, rows.d - begin), own[0], own[1]);
        });
        std::fill(counts, counts + all, 0);
        for (int w = 0; w < threads; ++w)
            for (std::size_t k = 0; k < all; ++k) counts[k] += of(w)[k];
        return finite;
    });
}

}  // namespace ra::RA_ISA

// counts[i] = in how many columns row i has the largest or the smallest value; of equal ones each counts. O(nd), the
// rows are read twice, a piece of the columns at a time.
#include "base/stage.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t piece = 1024;  // columns at a time: three rows of them fit the L1 cache

}  // namespace

bool outermost(const RowsView& view, std::int64_t* counts, int threads) {
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        const Scratch scratch(threads, rows.n * sizeof(std::int64_t));  // each worker counts for itself
        const auto of = [&](int worker) { return static_cast<std::int64_t*>(scratch.of(worker)); };
        for (int w = 0; w < threads; ++w) std::fill(of(w), of(w) + rows.n, 0);
        const bool finite = parallel((rows.d + piece - 1) / piece, threads, [&](std::size_t task, int worker) {
            const std::size_t begin = task * piece, width = std::min(piece, rows.d - begin);
            alignas(64) C values[piece], high[piece], low[piece];
            bool good = widen(rows.at(0, begin), width, high);
            std::copy(high, high + width, low);
            for (std::size_t i = 1; i < rows.n; ++i) {
                good &= widen(rows.at(i, begin), width, values);
                for (std::size_t j = 0; j < width; ++j) {
                    high[j] = values[j] > high[j] ? values[j] : high[j];
                    low[j] = values[j] < low[j] ? values[j] : low[j];
                }
            }
            for (std::size_t i = 0; i < rows.n; ++i) {
                widen(rows.at(i, begin), width, values);
                std::int32_t found = 0;
                for (std::size_t j = 0; j < width; ++j) found += (values[j] == high[j]) | (values[j] == low[j]);
                of(worker)[i] += found;
            }
            return good;
        });
        std::fill(counts, counts + rows.n, 0);
        for (int w = 0; w < threads; ++w)
            for (std::size_t i = 0; i < rows.n; ++i) counts[i] += of(w)[i];
        return finite;
    });
}

}  // namespace ra::RA_ISA

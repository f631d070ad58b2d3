// signs[j] = 1 where at least `least` more values of column j are positive than negative, -1 where negative, else 0.
// Whole numbers; one pass over the rows, O(nd).
#include "base/stage.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t piece = 2048;  // columns at a time: values and sums fit the L1 cache

}  // namespace

bool majority(const RowsView& view, std::int32_t least, std::int8_t* signs, int threads) {
    threads = threads_for(view, 0.3, threads);
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        return parallel((rows.d + piece - 1) / piece, threads, [&](std::size_t task, int) {
            const std::size_t begin = task * piece, width = std::min(piece, rows.d - begin);
            alignas(64) C values[piece];
            alignas(64) std::int32_t sums[piece] = {};
            bool finite = true;
            for (std::size_t i = 0; i < rows.n; ++i) {
                if (i + rows_ahead < rows.n) fetch(rows.at(i + rows_ahead, begin), width);
                finite &= widen(rows.at(i, begin), width, values);
                for (std::size_t j = 0; j < width; ++j) sums[j] += (values[j] > C(0)) - (values[j] < C(0));
            }
            std::int8_t* out = signs + begin;
            for (std::size_t j = 0; j < width; ++j) out[j] = std::int8_t((sums[j] >= least) - (sums[j] <= -least));
            return finite;
        });
    });
}

}  // namespace ra::RA_ISA

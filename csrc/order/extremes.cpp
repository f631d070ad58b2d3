// greatest[j], least[j] = the largest and the smallest value of column j. Exact; one pass over the rows, O(nd).
#include "base/output.hpp"
#include "base/stage.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t piece = 1024;  // columns at a time: three rows of them fit the L1 cache

// Values in the compute type, at column `begin` of a result.
template <class C>
void put(const C* values, std::size_t begin, std::size_t width, Result out) {
    if constexpr (sizeof(C) == sizeof(float))
        if (is_half(out.dtype))
            return narrow_values(values, width, out.dtype, static_cast<std::uint16_t*>(out.values) + begin);
    std::copy(values, values + width, static_cast<C*>(out.values) + begin);
}

}  // namespace

bool extremes(const RowsView& view, Result greatest, Result least, int threads) {
    threads = threads_for(view, 0.2, threads);
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        return parallel((rows.d + piece - 1) / piece, threads, [&](std::size_t task, int) {
            const std::size_t begin = task * piece, width = std::min(piece, rows.d - begin);
            alignas(64) C values[piece], high[piece], low[piece];
            bool finite = widen(rows.at(0, begin), width, high);
            std::copy(high, high + width, low);
            for (std::size_t i = 1; i < rows.n; ++i) {
                if (i + rows_ahead < rows.n) fetch(rows.at(i + rows_ahead, begin), width);
                finite &= widen(rows.at(i, begin), width, values);
                for (std::size_t j = 0; j < width; ++j) {
                    high[j] = values[j] > high[j] ? values[j] : high[j];
                    low[j] = values[j] < low[j] ? values[j] : low[j];
                }
            }
            put(high, begin, width, greatest);
            put(low, begin, width, least);
            return finite;
        });
    });
}

}  // namespace ra::RA_ISA

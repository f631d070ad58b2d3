// out[i][j] = rows[i][j] less the last row's, in the compute type, clamped to its largest number. O(nd).
#include "base/stage.hpp"

namespace ra::RA_ISA {

bool differences(const RowsView& view, void* out, int threads) {
    threads = threads_for(view, 0.3, threads);
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        constexpr std::size_t piece = 1024;  // columns at a time: two rows of them stay in the L1 cache
        constexpr C largest = std::numeric_limits<C>::max();
        return parallel((rows.d + piece - 1) / piece, threads, [&](std::size_t task, int) {
            const std::size_t begin = task * piece, width = std::min(piece, rows.d - begin);
            alignas(64) C last[piece], values[piece];
            bool finite = widen(rows.at(rows.n - 1, begin), width, last);
            for (std::size_t i = 0; i + 1 < rows.n; ++i) {
                finite &= widen(rows.at(i, begin), width, values);
                C* to = static_cast<C*>(out) + i * rows.d + begin;
                for (std::size_t j = 0; j < width; ++j)
                    to[j] = std::min(largest, std::max(-largest, values[j] - last[j]));
            }
            return finite;
        });
    });
}

}  // namespace ra::RA_ISA

// out[i][j] = the rescaled value of row i at column j, or median[j] where it was rejected: spec A.1, A.8. O(nd).
#include "detect/rectified.hpp"

namespace ra::RA_ISA {

namespace {

template <class T, class C = Compute<T>>
bool rectify_columns(const Rows<T>& rows, std::size_t begin, const Bits& rejected, const C* median,
                     const Rescale& rescale, C* out, C* y) {
    const std::size_t width = std::min(chunk, rows.d - begin);
    alignas(64) C middle[chunk] = {}, kept[chunk];
    std::copy(median + begin, median + begin + width, middle);
    if (!rescaled_chunk(rows, begin, rescale, y)) return false;
    for (std::size_t i = 0; i < rows.n; ++i) {
        rectify_chunk(y + i * chunk, middle, word_of_bits(rejected, i, begin), kept);
        std::copy(kept, kept + width, out + i * rows.d + begin);
    }
    return true;
}

}  // namespace

bool rectify(const RowsView& view, Bits rejected, const void* median, const Rescale& rescale, void* out, int threads) {
    threads = threads_for(view, 0.5, threads);
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        const Scratch scratch(threads, rescaled_bytes<C>(rows.n));
        return parallel((rows.d + chunk - 1) / chunk, threads, [&](std::size_t task, int worker) {
            const FlushSubnormals flush;
            return rectify_columns(rows, task * chunk, rejected, static_cast<const C*>(median), rescale,
                                   static_cast<C*>(out), static_cast<C*>(scratch.of(worker)));
        });
    });
}

}  // namespace ra::RA_ISA

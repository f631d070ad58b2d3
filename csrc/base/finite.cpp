// out[i] = whether every value of row i is finite. Reads every row once, O(nd).
#include "base/stage.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t piece = 16384;  // values: long enough to stream, short enough to share out a single row

template <class T>
bool all_finite(const T* source, std::size_t count) {
    constexpr std::size_t strip = 512;
    Compute<T> values[strip];
    for (std::size_t j = 0; j < count; j += strip)
        if (!widen(source + j, std::min(strip, count - j), values)) return false;
    return true;
}

template <class T>
void finite_rows(const Rows<T>& rows, bool* out, int threads) {
    const std::size_t pieces = (rows.d + piece - 1) / piece;
    const Scratch scratch(threads, rows.n);  // each worker notes for itself where it found something
    for (int w = 0; w < threads; ++w) std::memset(scratch.of(w), 0, rows.n);
    parallel(rows.n * pieces, threads, [&](std::size_t task, int worker) {
        const std::size_t i = task / pieces, begin = task % pieces * piece;
        auto* bad = static_cast<unsigned char*>(scratch.of(worker));
        if (!bad[i] && !all_finite(rows.at(i, begin), std::min(piece, rows.d - begin))) bad[i] = 1;
        return true;
    });
    for (std::size_t i = 0; i < rows.n; ++i) {
        out[i] = true;
        for (int w = 0; w < threads; ++w) out[i] &= static_cast<unsigned char*>(scratch.of(w))[i] == 0;
    }
}

}  // namespace

void finite(const RowsView& view, bool* out, int threads) {
    threads = threads_for(view, 0.1, threads);
    visit(view, [&](const auto& rows) { finite_rows(rows, out, threads); });
}

}  // namespace ra::RA_ISA

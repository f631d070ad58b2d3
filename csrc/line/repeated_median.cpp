// The repeated-median line of each sorted column against its ranks 0 ... n-1 (Siegel 1982; equations 1-3): see
// line.hpp. n = 1: slope 0. Precision: the compute type. A coordinate's result depends on its own column only. False on
// a NaN or an infinity.
#include <limits>

#include "base/stage.hpp"
#include "line/column.hpp"
#include "line/line.hpp"

namespace ra::RA_ISA {

namespace {

template <class T>
struct LineFitWork {
    T* tile;
    Columns<T> columns;
    LineWork<T> line;

    LineFitWork(Arena& arena, std::size_t n, std::size_t stride)
        : tile(arena.take<T>(n * stride)), columns(arena, n), line(arena, n) {}
};

// The line of a huge column may leave the range of its values: the largest number then, not an infinity.
template <class T>
Vec<T> clamped(Vec<T> v) {
    const Vec<T> largest = splat<T>(std::numeric_limits<T>::max());
    return max(-largest, min(largest, v));
}

template <class R>
bool repeated_median_rows(const Rows<R>& rows, Intercept intercept, void* slopes, void* intercepts, int threads) {
    using T = Compute<R>;
    const std::size_t n = rows.n;
    const Tiles tiles(n, rows.d, sizeof(T), threads);
    const Design<T> design(n);
    const Scratch scratch(tiles.workers(threads), bytes_of<LineFitWork<T>>(n, tiles.stride));
    return parallel(tiles.count(), tiles.workers(threads), [&](std::size_t t, int worker) {
        const FlushSubnormals flush;
        Arena arena(scratch.of(worker));
        LineFitWork<T> work(arena, n, tiles.stride);
        const std::size_t begin = tiles.begin(t), width = tiles.width(t);
        if (!stage(rows, begin, width, tiles.stride, work.tile)) return false;
        for (std::size_t j = 0; j < width; j += lanes<T>) {
            work.columns.load(InMemory<T>{work.tile + j, tiles.stride}, design.n);
            const Line<T> line = fit_line(design, work.columns.centred, intercept, work.line);
            const Vec<T> scale = work.columns.scale;
            const Vec<T> slope = clamped<T>(line.slope / scale);
            const Vec<T> origin = clamped<T>((line.intercept + work.columns.centre * scale) / scale);
            const std::size_t count = std::min<std::size_t>(lanes<T>, width - j);
            for (std::size_t l = 0; l < count; ++l) {
                static_cast<T*>(slopes)[begin + j + l] = slope[l];
                static_cast<T*>(intercepts)[begin + j + l] = origin[l];
            }
        }
        return true;
    });
}

}  // namespace

bool repeated_median(const RowsView& view, Intercept intercept, void* slope, void* origin, int threads) {
    threads = threads_for(view, static_cast<double>(view.n) / 4, threads);
    return visit(view, [&](const auto& rows) { return repeated_median_rows(rows, intercept, slope, origin, threads); });
}

}  // namespace ra::RA_ISA

// The confidence of every value (equation 4): min(1, Z sqrt(2 / n) sqrt(1 - h_i) tau / |r_i|), r_i the residual from
// the repeated-median line, h_i the leverage; equal values share the highest of their ranks. n < 3: 1 everywhere. out:
// n rows of d. Cost: the line's (line.cpp) and O(n^2) to bring ranks back to clients: this is for looking, not for
// rounds. A coordinate's result depends on its own column only. False on a NaN or an infinity.
#include "base/stage.hpp"
#include "detect/decide.hpp"
#include "detect/rescale.hpp"

namespace ra::RA_ISA {

namespace {

template <class T>
struct ConfidenceWork {
    T* tile;
    Columns<T> columns;
    LineWork<T> line;
    Residuals<T> residuals;

    ConfidenceWork(Arena& arena, std::size_t n, std::size_t stride)
        : tile(arena.take<T>(n * stride)), columns(arena, n), line(arena, n), residuals(arena, n) {}
};

// work.residuals.work[i] = the confidence of rank i.
template <class T>
void confidence_of_ranks(const Design<T>& design, const Widths<T>& widths, Intercept intercept,
                         ConfidenceWork<T>& work) {
    const int n = design.n;
    const Line<T> line = fit_line(design, work.columns.centred, intercept, work.line);
    work.residuals.measure(work.columns, line, widths, n);
    const Vec<T> one = splat(T(1));
    const Vec<T>* sorted = work.columns.sorted;
    Vec<T>* confidence = work.residuals.work;
    for (int i = 0; i < n; ++i) {
        const Vec<T> reach = work.residuals.tau * widths.width[i], size = work.residuals.size[i];
        confidence[i] = choose(less(reach, size), reach / size, one);
    }
    const auto share = [&](int i, int neighbour) {
        const Vec<T> best = max(confidence[i], confidence[neighbour]);
        confidence[i] = choose(equal(sorted[i], sorted[neighbour]), best, confidence[i]);
    };
    for (int i = n - 2; i >= 0; --i) share(i, i + 1);
    for (int i = 1; i < n; ++i) share(i, i - 1);
}

// One vector of columns: the confidences take the place of the values.
template <class T>
void confidence_of_columns(InMemory<T> y, const Design<T>& design, const Widths<T>& widths,
                           const Confidence& parameters, ConfidenceWork<T>& work) {
    const int n = design.n;
    if (n >= 3) {
        rescale_columns<T>(y, n, parameters.rescale, work.residuals.work);
        work.columns.load(y, n);
        confidence_of_ranks(design, widths, parameters.intercept, work);
    }
    for (int i = 0; i < n; ++i) {
        const Vec<T> value = y.get(i);
        Vec<T> found = splat(T(1));
        if (n >= 3)
            for (int k = 0; k < n; ++k)
                found = choose(equal(work.columns.sorted[k], value), work.residuals.work[k], found);
        y.set(i, found);
    }
}

template <class R>
bool confidence_rows(const Rows<R>& rows, const Confidence& parameters, void* out, int threads) {
    using T = Compute<R>;
    const std::size_t n = rows.n;
    const Tiles tiles(n, rows.d, sizeof(T), threads);
    const Design<T> design(n);
    const Widths<T> widths(n, parameters.interval_width, parameters.scale_floor);
    const Scratch scratch(tiles.workers(threads), bytes_of<ConfidenceWork<T>>(n, tiles.stride));
    return parallel(tiles.count(), tiles.workers(threads), [&](std::size_t t, int worker) {
        const FlushSubnormals flush;
        Arena arena(scratch.of(worker));
        ConfidenceWork<T> work(arena, n, tiles.stride);
        const std::size_t begin = tiles.begin(t), width = tiles.width(t);
        if (!stage(rows, begin, width, tiles.stride, work.tile)) return false;
        for (std::size_t j = 0; j < width; j += lanes<T>)
            confidence_of_columns(InMemory<T>{work.tile + j, tiles.stride}, design, widths, parameters, work);
        for (std::size_t i = 0; i < n; ++i)
            std::copy_n(work.tile + i * tiles.stride, width, static_cast<T*>(out) + i * rows.d + begin);
        return true;
    });
}

}  // namespace

bool confidence(const RowsView& view, const Confidence& parameters, void* out, int threads) {
    threads = threads_for(view, static_cast<double>(view.n) / 2, threads);
    return visit(view, [&](const auto& rows) { return confidence_rows(rows, parameters, out, threads); });
}

}  // namespace ra::RA_ISA

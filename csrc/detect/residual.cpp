// Residual-based re-weighting (Fu et al. 2019), from the repeated-median line of each sorted column.
// residual_weights: per client the sum over coordinates of C_i times the sample deviation of the n
// confidences C,
//     each product rounded to a whole number of 2^-30: such sums do not depend on the order of adding up.
// residual_mean: the weighted mean, in double and client order, with the line's value where C_i < threshold.
// Confidences as in confidence.cpp without the rescale; n < 3: nothing is rejected and all sums are 0. Equal
// values share the highest confidence and the middle of their ranks. Cost: the line's (line.cpp) and O(n^2)
// to bring ranks back to clients. A coordinate's result depends on its own column only. False on a NaN or an
// infinity.
#include "base/means.hpp"
#include "base/output.hpp"
#include "base/stage.hpp"
#include "detect/decide.hpp"

namespace ra::RA_ISA {

namespace {

template <class T>
struct ResidualWork {
    T* tile;
    Columns<T> columns;
    LineWork<T> line;
    Residuals<T> residuals;
    Vec<T>*confidence, *place;  // of each rank
    std::int64_t* total;

    ResidualWork(Arena& arena, std::size_t n, std::size_t stride)
        : tile(arena.take<T>(n * stride)),
          columns(arena, n),
          line(arena, n),
          residuals(arena, n),
          confidence(arena.take<Vec<T>>(n)),
          place(arena.take<Vec<T>>(n)),
          total(arena.take<std::int64_t>(n)) {}
};

// Everything that a call shares between its threads.
template <class T>
struct Judge {
    Design<T> design;
    Widths<T> widths;
    Intercept intercept;
    bool leave_smallest;

    Judge(std::size_t n, const Residual& parameters)
        : design(n),
          widths(n, parameters.interval_width, parameters.scale_floor),
          intercept(parameters.intercept),
          leave_smallest(parameters.leave_smallest) {}

    // One vector of columns: the confidences and places of their ranks. The line is returned.
    Line<T> judge(InMemory<T> y, ResidualWork<T>& work) const {
        const int n = design.n;
        work.columns.load(y, n);
        const Line<T> line = fit_line(design, work.columns.centred, intercept, work.line);
        work.residuals.measure(work.columns, line, widths, n);
        const Vec<T> tau = leave_smallest ? scale_of_larger(work) : work.residuals.tau, one = splat(T(1));
        for (int i = 0; i < n; ++i) {
            const Vec<T> reach = tau * widths.width[i], size = work.residuals.size[i];
            work.confidence[i] = choose(less(reach, size), reach / size, one);
        }
        share(work);
        return line;
    }

  private:
    // The scale of all residuals but the smallest.
    Vec<T> scale_of_larger(ResidualWork<T>& work) const {
        std::copy_n(work.residuals.size, design.n, work.residuals.work);
        sort<T>(work.residuals.work, design.n);
        const Vec<T> middle = median<T>(work.residuals.work + 1, design.n - 1);
        return middle * widths.deviation + work.columns.scale * widths.floor;
    }

    // Equal values: the highest of their confidences, the middle of their ranks.
    void share(ResidualWork<T>& work) const {
        const int n = design.n;
        Vec<T>*first = work.place, *last = work.residuals.work;
        for (int i = 0; i < n; ++i) first[i] = last[i] = splat(T(i));
        const auto take = [&](Vec<T>* end, int i, int neighbour) {
            const Mask<T> same = equal(work.columns.sorted[i], work.columns.sorted[neighbour]);
            const Vec<T> best = max(work.confidence[i], work.confidence[neighbour]);
            work.confidence[i] = choose(same, best, work.confidence[i]);
            end[i] = choose(same, end[neighbour], end[i]);
        };
        for (int i = 1; i < n; ++i) take(first, i, i - 1);
        for (int i = n - 2; i >= 0; --i) take(last, i, i + 1);
        for (int i = 0; i < n; ++i) work.place[i] = first[i] * T(0.5) + last[i] * T(0.5);
    }
};

// The sample standard deviation of n values; exactly 0 where all are equal.
template <class T>
Vec<T> sample_deviation(const Vec<T>* values, int n) {
    Vec<T> sum{}, squares{};
    for (int i = 1; i < n; ++i) sum += values[i] - values[0];
    const Vec<T> mean = sum / T(n);
    for (int i = 0; i < n; ++i) {
        const Vec<T> difference = values[i] - values[0] - mean;
        squares += difference * difference;
    }
    return square_root(squares / T(n - 1));
}

template <class T>
void count_columns(const Judge<T>& judge, InMemory<T> y, ResidualWork<T>& work) {
    const int n = judge.design.n;
    judge.judge(y, work);
    const Vec<T> unit = sample_deviation<T>(work.confidence, n) * T(0x1p30);
    for (int i = 0; i < n; ++i) {
        const Vec<T> value = y.get(i);
        Vec<T> found{};
        for (int k = 0; k < n; ++k) found = choose(equal(work.columns.sorted[k], value), work.confidence[k], found);
        const Vec<T> counts = found * unit;
        for (int l = 0; l < lanes<T>; ++l) work.total[i] += std::llrint(counts[l]);
    }
}

// A vector of columns with the line's values, clamped to finite ones, in place of those rejected.
template <class T>
void replace_columns(const Judge<T>& judge, T threshold, InMemory<T> y, ResidualWork<T>& work) {
    const int n = judge.design.n;
    const Line<T> line = judge.judge(y, work);
    const Vec<T> largest = splat(std::numeric_limits<T>::max()), limit = splat(threshold);
    const Vec<T> origin = line.intercept + work.columns.centre * work.columns.scale;
    for (int k = 0; k < n; ++k) {
        const Vec<T> value = (origin + line.slope * work.place[k]) / work.columns.scale;
        work.place[k] = max(min(value, largest), -largest);
    }
    for (int i = 0; i < n; ++i) {
        const Vec<T> value = y.get(i);
        Vec<T> found = value;
        for (int k = 0; k < n; ++k) {
            const Mask<T> rejected = less(work.confidence[k], limit) & equal(work.columns.sorted[k], value);
            found = choose(rejected, work.place[k], found);
        }
        y.set(i, found);
    }
}

// body(work, begin, width) for every tile, staged.
template <class R, class Body>
bool each_tile(const Rows<R>& rows, int threads, const Tiles& tiles, const Scratch& scratch, const Body& body) {
    using T = Compute<R>;
    return parallel(tiles.count(), tiles.workers(threads), [&](std::size_t t, int worker) {
        const FlushSubnormals flush;
        Arena arena(scratch.of(worker));
        ResidualWork<T> work(arena, rows.n, tiles.stride);
        const std::size_t begin = tiles.begin(t), width = tiles.width(t);
        if (!stage(rows, begin, width, tiles.stride, work.tile)) return false;
        body(work, begin, width);
        return true;
    });
}

}  // namespace

bool residual_weights(const RowsView& view, const Residual& parameters, std::int64_t* total, int threads) {
    threads = threads_for(view, static_cast<double>(view.n) / 2, threads);
    return visit(view, [&](const auto& rows) {
        using T = typename std::decay_t<decltype(rows)>::Value;
        const std::size_t n = rows.n;
        const Tiles tiles(n, rows.d, sizeof(T), threads);
        const int workers = tiles.workers(threads);
        const Judge<T> judge(n, parameters);
        const Scratch scratch(workers, bytes_of<ResidualWork<T>>(n, tiles.stride));
        const auto total_of = [&](int worker) {
            Arena arena(scratch.of(worker));
            return ResidualWork<T>(arena, n, tiles.stride).total;
        };
        for (int w = 0; w < workers; ++w) std::fill_n(total_of(w), n, 0);
        const bool finite = each_tile(rows, threads, tiles, scratch, [&](auto& work, std::size_t, std::size_t width) {
            if (n < 3) return;
            for (std::size_t j = 0; j < width; j += lanes<T>)
                count_columns(judge, InMemory<T>{work.tile + j, tiles.stride}, work);
        });
        std::fill_n(total, n, 0);
        for (int w = 0; w < workers; ++w)
            for (std::size_t i = 0; i < n; ++i) total[i] += total_of(w)[i];
        return finite;
    });
}

bool residual_mean(const RowsView& view, const double* weights, const Residual& parameters, double threshold, Result to,
                   int threads) {
    threads = threads_for(view, static_cast<double>(view.n) / 2, threads);
    return visit(view, [&](const auto& rows) {
        using T = typename std::decay_t<decltype(rows)>::Value;
        const std::size_t n = rows.n;
        const Tiles tiles(n, rows.d, sizeof(T), threads);
        const Judge<T> judge(n, parameters);
        const Scratch scratch(tiles.workers(threads), bytes_of<ResidualWork<T>>(n, tiles.stride));
        return each_tile(rows, threads, tiles, scratch, [&](auto& work, std::size_t begin, std::size_t width) {
            Output<T> out(to, rows.d);
            out.start(begin);
            if (n >= 3)
                for (std::size_t j = 0; j < width; j += lanes<T>)
                    replace_columns(judge, static_cast<T>(threshold), InMemory<T>{work.tile + j, tiles.stride}, work);
            for (std::size_t j = 0; j < width; j += lanes<T>) {
                Vec<double> sum[halves<T>] = {};
                for (std::size_t i = 0; i < n; ++i)
                    add_weighted(load_vector(work.tile + i * tiles.stride + j), weights[i], sum);
                out.put(begin + j, finite_result<T>(sum), width - j);
            }
            out.complete(width);
            out.finish();
        });
    });
}

}  // namespace ra::RA_ISA

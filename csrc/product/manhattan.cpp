// out[t][i][j] = sum of |x_i - x_j| over tile t of the coordinates, a difference counting as `limit` at most. O(n^2 d).
// Differences and sums in double, in one order for all pairs: the bits depend neither on threads nor on how the work is
// cut.
#include "base/lanes.hpp"
#include "base/means.hpp"
#include "base/stage.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t slab = 512;  // coordinates of all rows that are in double at a time

// Sum over a slab, in four chains that hide the latency of an addition.
double distance(const double* x, const double* y, double limit) {
    constexpr int L = lanes<double>, chains = 4;
    Vec<double> sum[chains] = {};
    for (std::size_t k = 0; k < slab; k += chains * L)
        unroll<chains>([&](auto c) {
            const Vec<double> gap = abs(load_vector(x + k + c * L) - load_vector(y + k + c * L));
            sum[c] += min(gap, splat(limit));
        });
    return total((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// `width` coordinates of every row in double, filled up with zeros; false when it met a NaN or an infinity.
template <class T, class C = Compute<T>>
bool widen_slab(const Rows<T>& rows, std::size_t begin, std::size_t width, double* out) {
    alignas(64) C values[slab];
    bool finite = true;
    for (std::size_t i = 0; i < rows.n; ++i) {
        if (i + rows_ahead < rows.n) fetch(rows.at(i + rows_ahead, begin), width);
        finite &= widen(rows.at(i, begin), width, values);
        std::fill(std::copy(values, values + width, out + i * slab), out + (i + 1) * slab, 0.0);
    }
    return finite;
}

}  // namespace

bool manhattan(const RowsView& view, std::size_t tile, double limit, double* out, int threads) {
    threads = threads_for(view, static_cast<double>(view.n) / 16, threads);
    return visit(view, [&](const auto& rows) {
        const std::size_t n = rows.n;
        const Scratch scratch(threads, n * slab * sizeof(double));
        return parallel((rows.d + tile - 1) / tile, threads, [&](std::size_t t, int worker) {
            auto* slabs = static_cast<double*>(scratch.of(worker));
            double* sums = out + t * n * n;
            std::fill(sums, sums + n * n, 0.0);
            const std::size_t end = std::min((t + 1) * tile, rows.d);
            for (std::size_t begin = t * tile; begin < end; begin += slab) {
                if (!widen_slab(rows, begin, std::min(slab, end - begin), slabs)) return false;
                for (std::size_t i = 0; i < n; ++i)
                    for (std::size_t j = 0; j < i; ++j)
                        sums[i * n + j] += distance(slabs + i * slab, slabs + j * slab, limit);
            }
            for (std::size_t i = 0; i < n; ++i)
                for (std::size_t j = 0; j < i; ++j) sums[j * n + i] = sums[i * n + j];
            return true;
        });
    });
}

}  // namespace ra::RA_ISA

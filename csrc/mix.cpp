// out[r][j] = sum_i matrix[r][i] * rows[i][j], accumulated in double and in client order like weighted_mean, for
// weights of any sum; clamped to the largest finite numbers. O(mnd); each row is read once. Where a sum of doubles
// overflows, it is formed again of values scaled by a power of two: what overflows halfway may still end up finite.
#include "means.hpp"
#include "order.hpp"

namespace ra::RA_ISA {

namespace {

constexpr double shrink = 0x1p-512;

template <class C>
constexpr std::size_t parts = sizeof(double) / sizeof(C);  // vectors of sums per vector of values

// A column whose sum in double is not a finite number.
double clamped_sum(const double* weights, const Vec<double>* x, std::size_t n, int lane) {
    constexpr double largest = std::numeric_limits<double>::max() * shrink;
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += weights[i] * (x[i][lane] * shrink);
    return std::min(largest, std::max(-largest, sum)) / shrink;
}

// The first `width` columns of sum, as they are stored.
template <class C>
void store_result(const Vec<double>* sum, const double* weights, const Vec<C>* x, std::size_t n, std::size_t width,
                  C* out) {
    alignas(64) double values[lanes<C>];
    std::memcpy(values, sum, sizeof values);
    if constexpr (std::is_same_v<C, double>)
        if (!all_finite(values, width))
            for (std::size_t l = 0; l < width; ++l)
                if (!all_finite(values + l, 1)) values[l] = clamped_sum(weights, x, n, static_cast<int>(l));
    store_clamped(values, width, out);
}

// `count` results from the n vectors x, columns d apart in out.
template <int count, class C>
void mix_vectors(const Vec<C>* x, const double* matrix, std::size_t n, std::size_t d, std::size_t width, C* out) {
    Vec<double> sum[count][parts<C>] = {};
    for (std::size_t i = 0; i < n; ++i) {
        const Vec<C> v = x[i];
        unroll<count>([&](auto r) { add_weighted(v, matrix[r * n + i], sum[r]); });
    }
    for (std::size_t r = 0; r < count; ++r) store_result(sum[r], matrix + r * n, x, n, width, out + r * d);
}

}  // namespace

bool mix(const RowsView& view, const double* matrix, std::size_t m, void* out, int threads) {
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        constexpr std::size_t L = lanes<C>;
        constexpr int together = vector_bytes == 64 ? 8 : 4;  // results whose sums fit the registers
        const std::size_t n = rows.n, d = rows.d;
        const Tiles tiles(n, d, sizeof(C), threads);
        const Scratch scratch(tiles.workers(threads), pitch_of(n) * tiles.stride * sizeof(C));
        return parallel(tiles.count(), threads, [&](std::size_t task, int worker) {
            const FlushSubnormals flush;
            auto* tile = static_cast<Vec<C>*>(scratch.of(worker));
            const std::size_t begin = tiles.begin(task), width = tiles.width(task);
            if (!stage_vectors(rows, begin, width, tile)) return false;
            for (std::size_t j = 0; j < width; j += L) {
                const Vec<C>* x = tile + j / L * pitch_of(n);
                const std::size_t count = std::min(L, width - j);
                C* to = static_cast<C*>(out) + begin + j;
                std::size_t r = 0;
                for (; r + together <= m; r += together)
                    mix_vectors<together>(x, matrix + r * n, n, d, count, to + r * d);
                for (; r < m; ++r) mix_vectors<1>(x, matrix + r * n, n, d, count, to + r * d);
            }
            return true;
        });
    });
}

}  // namespace ra::RA_ISA

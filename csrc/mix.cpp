// out[r][j] = sum_i matrix[r][i] * rows[i][j], accumulated in double and in client order, for weights of any sum;
// clamped to the largest finite numbers. O(mnd); each row is read once. Where a sum of doubles overflows, it is formed
// again of values scaled by a power of two: what overflows halfway may still end up finite.
#include "means.hpp"
#include "order.hpp"

namespace ra::RA_ISA {

namespace {

constexpr double shrink = 0x1p-512;
constexpr std::size_t panel = vector_bytes == 64 ? 8 : 4;  // results whose sums fit the registers

template <class C>
constexpr std::size_t parts = sizeof(double) / sizeof(C);  // vectors of sums per vector of values

// The matrix as it is read: [panel of results][client][result], the last panel filled up with zeros.
class Panels {
  public:
    Panels(const double* matrix, std::size_t m, std::size_t n)
        : memory_(1, count(m) * n * panel * sizeof(double)), size_(n * panel) {
        std::fill(of(0), of(count(m)), 0.0);
        for (std::size_t r = 0; r < m; ++r)
            for (std::size_t i = 0; i < n; ++i) of(r / panel)[i * panel + r % panel] = matrix[r * n + i];
    }
    static std::size_t count(std::size_t m) { return (m + panel - 1) / panel; }
    double* of(std::size_t p) const { return static_cast<double*>(memory_.of(0)) + p * size_; }

  private:
    const Scratch memory_;
    const std::size_t size_;
};

// A column whose sum in double is not a finite number; weights `panel` apart.
double clamped_sum(const double* weights, const Vec<double>* x, std::size_t n, int lane) {
    constexpr double largest = std::numeric_limits<double>::max() * shrink;
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += weights[i * panel] * (x[i][lane] * shrink);
    return std::min(largest, std::max(-largest, sum)) / shrink;
}

// Sums of a vector of columns as results, clamped to finite ones. Sums of floats do not overflow in double.
inline Vec<float> results(const Vec<double>* sum, const double*, const Vec<float>*, std::size_t) {
    constexpr double largest = std::numeric_limits<float>::max();
    return joined(clamped(sum[0], largest), clamped(sum[1], largest));
}
inline Vec<double> results(const Vec<double>* sum, const double* weights, const Vec<double>* x, std::size_t n) {
    Vec<double> found = sum[0];
    for (unsigned left = bits(~equal(found - found, Vec<double>{})); left != 0; left &= left - 1)
        found[__builtin_ctz(left)] = clamped_sum(weights, x, n, __builtin_ctz(left));
    return found;
}

// A panel's results of the n vectors x, `count` of them, of `width` columns; rows of out are d apart.
template <class C>
void mix_panel(const Vec<C>* x, const double* weights, std::size_t n, std::size_t count, std::size_t width, C* out,
               std::size_t d) {
    Vec<double> sum[panel][parts<C>] = {};
    for (std::size_t i = 0; i < n; ++i) {
        Vec<double> v[parts<C>];
        widen_vector(x[i], v);
        unroll<panel>([&](auto r) {
            unroll<parts<C>>([&](auto h) { sum[r][h] = multiply_add(splat(weights[i * panel + r]), v[h], sum[r][h]); });
        });
    }
    for (std::size_t r = 0; r < count; ++r) store_part(out + r * d, results(sum[r], weights + r, x, n), width);
}

}  // namespace

bool mix(const RowsView& view, const double* matrix, std::size_t m, void* out, int threads) {
    // One result is a mean whose weights have any sum, but for doubles, whose sum may overflow halfway.
    if (m == 1 && view.dtype != DType::f64) return weighted_mean(view, matrix, out, threads);
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        constexpr std::size_t L = lanes<C>;
        const std::size_t n = rows.n, d = rows.d;
        const Panels panels(matrix, m, n);
        const Tiles tiles(n, d, sizeof(C), threads);
        const Scratch scratch(tiles.workers(threads), pitch_of(n) * tiles.stride * sizeof(C));
        return parallel(tiles.count(), threads, [&](std::size_t task, int worker) {
            const FlushSubnormals flush;
            auto* tile = static_cast<Vec<C>*>(scratch.of(worker));
            const std::size_t begin = tiles.begin(task), width = tiles.width(task);
            if (!stage_vectors(rows, begin, width, tile)) return false;
            for (std::size_t p = 0; p < Panels::count(m); ++p)
                for (std::size_t j = 0; j < width; j += L)
                    mix_panel<C>(tile + j / L * pitch_of(n), panels.of(p), n, std::min(panel, m - p * panel), width - j,
                                 static_cast<C*>(out) + p * panel * d + begin + j, d);
            return true;
        });
    });
}

}  // namespace ra::RA_ISA

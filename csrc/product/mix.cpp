// out[r][j] = sum_i matrix[r][i] * rows[i][j], accumulated in double, for weights of any sum; clamped to the largest
// finite numbers. O(mnd); each row is read once. A matrix is read in one of two ways, the same for all columns:
//   panels    any matrix: a few results at a time, of the clients that at least one of them takes;
//   subsets   many results, each one weight times a sum of floats: see subset_sums.hpp.
// Where a sum of doubles overflows, it is formed again of values scaled by a power of two: what overflows halfway may
// still end up finite.
#include "order/order.hpp"
#include "product/subset_sums.hpp"

namespace ra::RA_ISA {

namespace {

constexpr double lowered = 0x1p-512;

constexpr std::size_t panel = vector_bytes == 64 ? 8 : 4;  // results whose sums fit the registers

// Neighbouring results: the clients that any of them takes, and their weights, [client][result].
struct Panel {
    std::uint32_t* clients;
    double* weights;
    std::size_t taken = 0;

    void take(std::size_t client, const double* column, std::size_t stride, std::size_t count) {
        bool some = false;
        for (std::size_t r = 0; r < panel; ++r) {
            const double weight = r < count ? column[r * stride] : 0;
            weights[taken * panel + r] = weight;
            some |= weight != 0;
        }
        clients[taken] = static_cast<std::uint32_t>(client);
        taken += some;
    }
};

// The matrix as it is read, the last panel filled up with zeros.
class Panels {
  public:
    Panels(const double* matrix, std::size_t m, std::size_t n)
        : count((m + panel - 1) / panel),
          clients_(1, count * n * sizeof(std::uint32_t)),
          weights_(1, count * n * panel * sizeof(double)),
          panels_(1, count * sizeof(Panel)) {
        for (std::size_t p = 0; p < count; ++p) {
            Panel& one = *new (&at(p)) Panel{static_cast<std::uint32_t*>(clients_.of(0)) + p * n,
                                             static_cast<double*>(weights_.of(0)) + p * n * panel};
            for (std::size_t i = 0; i < n; ++i) one.take(i, matrix + p * panel * n + i, n, m - p * panel);
        }
    }
    const Panel& operator[](std::size_t p) const { return at(p); }

    const std::size_t count;

  private:
    Panel& at(std::size_t p) const { return static_cast<Panel*>(panels_.of(0))[p]; }

    const Scratch clients_, weights_, panels_;
};

// Result r of a column whose sum in double is not a finite number.
double clamped_sum(const Panel& one, std::size_t r, const Vec<double>* x, int lane) {
    constexpr double largest = std::numeric_limits<double>::max() * lowered;
    double sum = 0;
    for (std::size_t k = 0; k < one.taken; ++k) sum += one.weights[k * panel + r] * (x[one.clients[k]][lane] * lowered);
    return std::min(largest, std::max(-largest, sum)) / lowered;
}

// Sums of a vector of columns as results, clamped to finite ones. Sums of floats do not overflow in double.
inline Vec<float> results(const Vec<double>* sum, const Panel&, std::size_t, const Vec<float>*) {
    return finite_result<float>(sum);
}
inline Vec<double> results(const Vec<double>* sum, const Panel& one, std::size_t r, const Vec<double>* x) {
    Vec<double> found = sum[0];
    for (unsigned left = bits(~equal(found - found, Vec<double>{})); left != 0; left &= left - 1)
        found[__builtin_ctz(left)] = clamped_sum(one, r, x, __builtin_ctz(left));
    return found;
}

// The first `count` results of a panel for a vector of `width` columns; rows of out are d apart.
template <class C>
void mix_panel(const Vec<C>* x, const Panel& one, std::size_t count, std::size_t width, C* out, std::size_t d) {
    Vec<double> sum[panel][halves<C>] = {};
    for (std::size_t k = 0; k < one.taken; ++k) {
        Vec<double> v[halves<C>];
        widen_vector(x[one.clients[k]], v);
        unroll<panel>([&](auto r) {
            const Vec<double> weight = splat(one.weights[k * panel + r]);
            unroll<halves<C>>([&](auto h) { sum[r][h] = multiply_add(weight, v[h], sum[r][h]); });
        });
    }
    for (std::size_t r = 0; r < count; ++r) store_part(out + r * d, results(sum[r], one, r, x), width);
}

// Calls mix_tile(tile, begin, width, worker) for each tile of columns.
template <class T, class Body>
bool for_tiles(const Rows<T>& rows, int threads, const Body& mix_tile) {
    using C = Compute<T>;
    const Tiles tiles(rows.n, rows.d, sizeof(C), threads);
    const Scratch scratch(tiles.workers(threads), pitch_of(rows.n) * tiles.stride * sizeof(C));
    return parallel(tiles.count(), threads, [&](std::size_t task, int worker) {
        const FlushSubnormals flush;
        auto* tile = static_cast<Vec<C>*>(scratch.of(worker));
        const std::size_t begin = tiles.begin(task), width = tiles.width(task);
        if (!stage_vectors(rows, begin, width, tile)) return false;
        mix_tile(tile, begin, width, worker);
        return true;
    });
}

template <class T, class C = Compute<T>>
bool mix_by_panels(const Rows<T>& rows, const double* matrix, std::size_t m, C* out, int threads) {
    const Panels panels(matrix, m, rows.n);
    return for_tiles(rows, threads, [&](const Vec<C>* tile, std::size_t begin, std::size_t width, int) {
        for (std::size_t p = 0; p < panels.count; ++p)
            for (std::size_t j = 0; j < width; j += lanes<C>)
                mix_panel(tile + j / lanes<C> * pitch_of(rows.n), panels[p], std::min(panel, m - p * panel), width - j,
                          out + p * panel * rows.d + begin + j, rows.d);
    });
}

template <class T>
bool mix_by_subsets(const Rows<T>& rows, const double* matrix, std::size_t m, float* out, int threads) {
    const Subsets subsets(matrix, m, rows.n);
    const Scratch memory(threads, 2 * m * sizeof(Vec<double>));
    return for_tiles(rows, threads, [&](const Vec<float>* tile, std::size_t begin, std::size_t width, int worker) {
        auto* sums = static_cast<Vec<double>*>(memory.of(worker));
        for (std::size_t j = 0; j < width; j += lanes<float>) {
            const Vec<float>* x = tile + j / lanes<float> * pitch_of(rows.n);
            std::fill(sums, sums + 2 * m, Vec<double>{});
            unroll<2>([&](auto h) {
                for (std::size_t i = 0, b = 0; i < rows.n; i += Subsets::clients, ++b)
                    add_subsets<h>(x + i, rows.n - i, subsets, b, sums + h * m);
            });
            for (std::size_t r = 0; r < m; ++r) {
                const Vec<double> weight = splat(subsets.weight(r));
                const Vec<double> both[] = {weight * sums[r], weight * sums[m + r]};
                store_part(out + r * rows.d + begin + j, finite_result<float>(both), width - j);
            }
        }
    });
}

}  // namespace

bool mix(const RowsView& view, const double* matrix, std::size_t m, void* out, int threads) {
    threads = threads_for(view, static_cast<double>(m) / 16, threads);
    // One result is a mean whose weights have any sum, but for doubles, whose sum may overflow halfway.
    if (m == 1 && view.dtype != DType::f64)
        return weighted_mean(view, matrix, in_compute_type(static_cast<float*>(out)), threads);
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        if constexpr (is_single<Vec<C>>)
            if (Subsets::serve(matrix, m, rows.n))
                return mix_by_subsets(rows, matrix, m, static_cast<float*>(out), threads);
        return mix_by_panels(rows, matrix, m, static_cast<C*>(out), threads);
    });
}

}  // namespace ra::RA_ISA

// out[t][i][j] = sum_k z_ik z_jk over tile t of the coordinates; z_i = x_i - c and z_n = c, c the coordinate-wise lower
// median, clamped to +-limit; rows that are marked as shrunk are so first. First the centre, as the median kernel does
// it; then the products, O(n^2 d). Differences, products and sums in double. Each entry is summed in one order (lanes,
// then slabs of a tile), the same for all pairs: equal rows have equal products, and the bits depend neither on threads
// nor on how the work is cut.
#include "base/lanes.hpp"
#include "base/means.hpp"
#include "order/order.hpp"
#include "order/rank.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t slab = 512;                          // coordinates between two reductions of the lanes
constexpr std::size_t panel = vector_bytes == 64 ? 4 : 3;  // rows: the products of two panels fit the registers
constexpr std::size_t depth = slab / lanes<double>;        // vectors of a row
constexpr std::size_t panel_vectors = panel * depth;
constexpr std::size_t at_once = 4;  // vectors of a row that are multiplied between two looks at the end

// The rows of a slab, centred: [panel][vector][row of the panel], the rows of the last panel filled up with zeros.
using Packed = Vec<double>*;

std::size_t panels_of(std::size_t rows) { return (rows + panel - 1) / panel; }

template <class T>
Vec<T> lower_median(Vec<T>* v, int n) {
    const int rank = (n - 1) / 2;
    if (n >= counting_pays) return value_of_rank<T>(v, n, bounds_of<T>(v, n), rank);
    select<T>(v, n, rank, rank + 1);
    return v[rank];
}

// to[0], to[panel] = x - c, of a vector of columns. Differences of floats are far from the limit.
inline void centre_vector(const float* x, const float* c, double, double, Vec<double>* to) {
    const Vec<float> value = load_vector(x), centre = load_vector(c);
    to[0] = half_of<0>(value) - half_of<0>(centre);
    to[panel] = half_of<1>(value) - half_of<1>(centre);
}
inline void centre_vector(const double* x, const double* c, double unit, double limit, Vec<double>* to) {
    to[0] = clamped(load_vector(x) * unit - load_vector(c) * unit, limit);
}

// Rows `first` to n of the columns from `begin` on; row n is the centre itself. A panel's rows go side by side.
template <class T, class C = Compute<T>>
void pack(const Rows<T>& rows, const C* centre, std::size_t first, std::size_t begin, std::size_t width, double limit,
          const std::uint8_t* shrunk, Packed to) {
    constexpr std::size_t L = lanes<C>;
    alignas(64) static constexpr C zero[slab] = {};
    alignas(64) C values[panel][slab] = {}, middle[slab] = {};
    std::copy(centre + begin, centre + begin + width, middle);
    const auto slab_of = [&](std::size_t i, C* buffer) -> const C* {
        if (i >= rows.n) return i == rows.n ? middle : zero;
        if (i + rows_ahead < rows.n) fetch(rows.at(i + rows_ahead, begin), width);
        if constexpr (std::is_same_v<T, C>)
            if (width == slab) return rows.at(i, begin);
        widen(rows.at(i, begin), width, buffer);
        return buffer;
    };
    for (std::size_t i = first; i <= rows.n; i += panel, to += panel_vectors) {
        const C *x[panel], *c[panel];
        double unit[panel];
        for (std::size_t r = 0; r < panel; ++r) {
            x[r] = slab_of(i + r, values[r]);
            c[r] = i + r < rows.n ? middle : zero;
            unit[r] = shrunk != nullptr && i + r <= rows.n && shrunk[i + r] != 0 ? shrink : 1;
        }
        for (std::size_t j = 0; j < slab; j += L)
            for (std::size_t r = 0; r < panel; ++r)
                centre_vector(x[r] + j, c[r] + j, unit[r], limit, to + j / lanes<double> * panel + r);
    }
}

// Adds the products of two panels, of which a_rows and at most `most` b_rows exist, to out, whose rows are m apart; of
// each row there are `count` vectors, a multiple of at_once, that are not zeros.
template <std::size_t most>
void multiply(const Vec<double>* a, const Vec<double>* b, std::size_t count, std::size_t a_rows, std::size_t b_rows,
              std::size_t m, double* out) {
    Vec<double> sum[panel][most] = {};
    for (std::size_t k = 0; k < count; k += at_once)
        unroll<at_once>([&](auto) {
            unroll<most>(
                [&](auto j) { unroll<panel>([&](auto i) { sum[i][j] = multiply_add(a[i], b[j], sum[i][j]); }); });
            a += panel, b += panel;
        });
    alignas(64) double sums[panel * most + lanes<double>];
    totals<panel * most>(sum[0], sums);
    for (std::size_t i = 0; i < a_rows; ++i)
        for (std::size_t j = 0; j < b_rows; ++j) out[i * m + j] += sums[i * most + j];
}

// Adds the products of the first `count` of the packed rows' panels, `width` columns of them, with all panels from
// their own on.
void multiply_slab(const Vec<double>* z, std::size_t width, std::size_t rows, std::size_t count, std::size_t m,
                   double* out) {
    const std::size_t panels = panels_of(rows), step = at_once * lanes<double>;
    const std::size_t vectors = (width + step - 1) / step * at_once;
    const auto rows_of = [&](std::size_t p) { return std::min(panel, rows - p * panel); };
    for (std::size_t q = 0; q < panels; ++q) {  // a panel stays in the L1 cache
        // The centre is often left over.
        const auto multiply_two = rows_of(q) == 1 ? multiply<1> : multiply<panel>;
        for (std::size_t p = 0; p < std::min(count, q + 1); ++p)
            multiply_two(z + p * panel_vectors, z + q * panel_vectors, vectors, rows_of(p), rows_of(q), m,
                         out + p * panel * m + q * panel);
    }
}

// Rows `first` to `last` of one tile's matrix, from the diagonal on, and their mirror image.
template <class T>
void product_rows(const Rows<T>& rows, const Compute<T>* centre, std::size_t first, std::size_t last, std::size_t begin,
                  std::size_t end, double limit, const std::uint8_t* shrunk, Packed z, double* out) {
    const std::size_t m = rows.n + 1;
    for (std::size_t i = first; i < last; ++i) std::fill(out + i * m + first, out + (i + 1) * m, 0.0);
    for (std::size_t j = begin; j < end; j += slab) {
        pack(rows, centre, first, j, std::min(slab, end - j), limit, shrunk, z);
        multiply_slab(z, std::min(slab, end - j), m - first, panels_of(last - first), m, out + first * m + first);
    }
    for (std::size_t i = first; i < last; ++i)
        for (std::size_t j = i + 1; j < m; ++j) out[j * m + i] = out[i * m + j];
}

}  // namespace

bool gram(const RowsView& view, std::size_t tile, double limit, const std::uint8_t* shrunk, double* out, int threads) {
    threads = threads_for(view, static_cast<double>(view.n) / 40, threads);
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        const std::size_t m = rows.n + 1, panels = panels_of(m), tiles = (rows.d + tile - 1) / tile;
        // Few tiles: several tasks for each, the first ones having most to do.
        const std::size_t wanted = 2 * static_cast<std::size_t>(threads);
        const std::size_t shares = std::min(panels, tiles < wanted ? wanted : 1);
        const Scratch centre_memory(1, rows.d * sizeof(C));
        const Scratch packed(threads, panels * panel_vectors * sizeof(Vec<double>));
        auto* centre = static_cast<C*>(centre_memory.of(0));
        if (!reduce_columns(rows, in_compute_type(centre), threads, lower_median<C>)) return false;
        return parallel(tiles * shares, threads, [&](std::size_t task, int worker) {
            const FlushSubnormals flush;
            const std::size_t t = task / shares, share = task % shares;
            const std::size_t first = panels * share / shares * panel;
            const std::size_t last = std::min(m, panels * (share + 1) / shares * panel);
            product_rows(rows, centre, first, last, t * tile, std::min(rows.d, (t + 1) * tile), limit, shrunk,
                         static_cast<Packed>(packed.of(worker)), out + t * m * m);
            return true;
        });
    });
}

}  // namespace ra::RA_ISA

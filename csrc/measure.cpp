// out[t][i] = |x_i - c|^2, x_i . c and |x_i|^2 over tile t of the coordinates, clamped to +-limit; c is row
// `reference`, or zero where there is no such row. O(nd). Differences, products and sums in double, in one order for
// all rows: equal rows have equal sums, and the bits depend neither on threads nor on how the work is cut.
#include "lanes.hpp"
#include "means.hpp"
#include "stage.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t slab = 256;  // coordinates of a row that are widened at a time

struct Sums {
    Vec<double> distance = {}, product = {}, length = {};

    void add(Vec<double> x, Vec<double> c, Vec<double> difference) {
        distance = multiply_add(difference, difference, distance);
        product = multiply_add(x, c, product);
        length = multiply_add(x, x, length);
    }
};

// Two chains of sums hide the latency of an addition. Floats are far from the limit.
void add_slab(const float* x, const float* c, double, Sums* sums) {
    for (std::size_t j = 0; j < slab; j += lanes<float>) {
        const Vec<float> value = load_vector(x + j), centre = load_vector(c + j);
        const Vec<double> low = half_of<0>(value), high = half_of<1>(value);
        sums[0].add(low, half_of<0>(centre), low - half_of<0>(centre));
        sums[1].add(high, half_of<1>(centre), high - half_of<1>(centre));
    }
}
void add_slab(const double* x, const double* c, double limit, Sums* sums) {
    for (std::size_t j = 0; j < slab; j += lanes<double>) {
        const Vec<double> value = load_vector(x + j), centre = load_vector(c + j);
        sums[j / lanes<double> % 2].add(clamped(value, limit), clamped(centre, limit), clamped(value - centre, limit));
    }
}

// The sums of one row's tile; false when it met a NaN or an infinity.
template <class T, class C = Compute<T>>
bool measure_row(const T* x, const C* centre, std::size_t width, double limit, double* out) {
    alignas(64) C values[slab];
    Sums sums[2];
    bool finite = true;
    for (std::size_t j = 0; j < width; j += slab) {
        const std::size_t count = std::min(slab, width - j);
        finite &= widen(x + j, count, values);
        std::fill(values + count, values + slab, C(0));
        add_slab(values, centre + j, limit, sums);
    }
    out[0] = total(sums[0].distance) + total(sums[1].distance);
    out[1] = total(sums[0].product) + total(sums[1].product);
    out[2] = total(sums[0].length) + total(sums[1].length);
    return finite;
}

}  // namespace

bool measure(const RowsView& view, std::size_t tile, std::size_t reference, double limit, double* out, int threads) {
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        const std::size_t tiles = (rows.d + tile - 1) / tile, padded = (tile + slab - 1) / slab * slab;
        const std::size_t wanted = 4 * static_cast<std::size_t>(threads);
        const std::size_t shares = std::min(rows.n, tiles < wanted ? wanted : 1);
        const Scratch centres(threads, padded * sizeof(C));
        return parallel(tiles * shares, threads, [&](std::size_t task, int worker) {
            const FlushSubnormals flush;
            const std::size_t t = task / shares, share = task % shares;
            const std::size_t begin = t * tile, width = std::min(tile, rows.d - begin);
            auto* centre = static_cast<C*>(centres.of(worker));
            std::fill(centre, centre + padded, C(0));
            if (reference < rows.n && !widen(rows.at(reference, begin), width, centre)) return false;
            for (std::size_t i = rows.n * share / shares; i < rows.n * (share + 1) / shares; ++i)
                if (!measure_row(rows.at(i, begin), centre, width, limit, out + 3 * (t * rows.n + i))) return false;
            return true;
        });
    });
}

}  // namespace ra::RA_ISA

// out[t][i] = |x_i - c|^2, x_i . c and |x_i|^2 over tile t of the coordinates, clamped to +-limit; c is row
// `reference`, or zero where there is no such row. shrunk[i] says which of x_i - c and x_i are shrunk first. O(nd).
// Differences, products and sums in double, in one order for all rows: equal rows have equal sums, and the bits depend
// neither on threads nor on how the work is cut.
#include "base/lanes.hpp"
#include "base/means.hpp"
#include "base/stage.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t slab = 256;        // coordinates of a row that are widened at a time
constexpr std::size_t ahead = 8 * slab;  // coordinates between what is read and what is asked for

// What a row, its difference from the centre, and the centre are multiplied by.
struct Units {
    double difference, row, centre;
};

// How one row lies to a centre, or to zero. Chains of sums hide the latency of an addition.
template <bool centred>
struct Sums {
    static constexpr int chains = 4;
    Vec<double> distance[chains] = {}, product[chains] = {}, length[chains] = {};

    void add(int chain, Vec<double> x, Vec<double> c, Vec<double> difference) {
        length[chain] = multiply_add(x, x, length[chain]);
        if (!centred) return;
        distance[chain] = multiply_add(difference, difference, distance[chain]);
        product[chain] = multiply_add(x, c, product[chain]);
    }
    // Floats are far from the limit.
    void add_slab(const float* x, const double* c, const Units&, double) {
        for (std::size_t j = 0; j < slab; j += 2 * lanes<float>)
            unroll<2>([&](auto k) {
                const Vec<float> both = load_vector(x + j + k * lanes<float>);
                unroll<2>([&](auto h) {
                    const Vec<double> value = half_of<h>(both);
                    const Vec<double> centre =
                        centred ? load_vector(c + j + (2 * k + h) * lanes<double>) : Vec<double>{};
                    add(2 * k + h, value, centre, value - centre);
                });
            });
    }
    void add_slab(const double* x, const double* c, const Units& units, double limit) {
        for (std::size_t j = 0; j < slab; j += chains * lanes<double>)
            unroll<chains>([&](auto k) {
                const Vec<double> value = load_vector(x + j + k * lanes<double>);
                const Vec<double> centre = centred ? load_vector(c + j + k * lanes<double>) : Vec<double>{};
                add(k, clamped(value * units.row, limit), clamped(centre * units.centre, limit),
                    clamped(value * units.difference - centre * units.difference, limit));
            });
    }
    void store(double* out) const {
        const auto all = [](const Vec<double>* sum) { return total((sum[0] + sum[1]) + (sum[2] + sum[3])); };
        out[2] = all(length);
        out[0] = centred ? all(distance) : out[2];
        out[1] = centred ? all(product) : 0;
    }
};

// A row's tile in double, filled up with zeros to whole slabs; false when it met a NaN or an infinity.
template <class T, class C = Compute<T>>
bool widen_row(const T* x, std::size_t width, double* out) {
    alignas(64) C values[slab];
    bool finite = true;
    for (std::size_t j = 0; j < width; j += slab) {
        const std::size_t count = std::min(slab, width - j);
        finite &= widen(x + j, count, values);
        std::fill(std::copy(values, values + count, out + j), out + j + slab, 0.0);
    }
    return finite;
}

// The sums of one row's tile, after which the row goes on up to `left` coordinates; false when it met a NaN or an
// infinity. Not inlined: among its caller's variables the sums would lose their registers.
template <bool centred, class T, class C = Compute<T>>
__attribute__((noinline)) bool measure_row(const T* x, const double* centre, std::size_t width, std::size_t left,
                                           const Units& units, double limit, double* out) {
    alignas(64) C values[slab];
    Sums<centred> sums;
    bool finite = true;
    for (std::size_t j = 0; j < width; j += slab) {
        const std::size_t count = std::min(slab, width - j);
        if (j + ahead + slab <= left) fetch(x + j + ahead, slab);
        finite &= widen(x + j, count, values);
        std::fill(values + count, values + slab, C(0));
        sums.add_slab(values, centre + j, units, limit);
    }
    sums.store(out);
    return finite;
}

}  // namespace

bool measure(const RowsView& view, std::size_t tile, std::size_t reference, double limit, const std::uint8_t* shrunk,
             double* out, int threads) {
    threads = threads_for(view, 0.2, threads);
    const auto unit_of = [shrunk](std::size_t i, std::size_t k) {
        return shrunk != nullptr && shrunk[2 * i + k] != 0 ? shrink : 1.0;
    };
    return visit(view, [&](auto rows) {
        const std::size_t tiles = (rows.d + tile - 1) / tile, padded = (tile + slab - 1) / slab * slab;
        const std::size_t wanted = 4 * static_cast<std::size_t>(threads);
        const std::size_t shares = std::min(rows.n, tiles < wanted ? wanted : 1);
        const Scratch centres(threads, padded * sizeof(double));
        return parallel(tiles * shares, threads, [&](std::size_t task, int worker) {
            const FlushSubnormals flush;
            const std::size_t t = task / shares, share = task % shares;
            const std::size_t begin = t * tile, width = std::min(tile, rows.d - begin);
            auto* centre = static_cast<double*>(centres.of(worker));
            if (reference < rows.n && !widen_row(rows.at(reference, begin), width, centre)) return false;
            const double centre_unit = reference < rows.n ? unit_of(reference, 1) : 1.0;
            const auto measure_rows = [&](auto centred) {
                for (std::size_t i = rows.n * share / shares; i < rows.n * (share + 1) / shares; ++i)
                    if (!measure_row<centred>(rows.at(i, begin), centre, width, rows.d - begin,
                                              {unit_of(i, 0), unit_of(i, 1), centre_unit}, limit,
                                              out + 3 * (t * rows.n + i)))
                        return false;
                return true;
            };
            return reference < rows.n ? measure_rows(std::true_type{}) : measure_rows(std::false_type{});
        });
    });
}

}  // namespace ra::RA_ISA

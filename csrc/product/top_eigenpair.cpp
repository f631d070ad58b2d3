// The largest eigenvalue of a symmetric matrix and a vector of length 1 that belongs to it, to rounding. Householder's
// reflections make the matrix tridiagonal, O(n^3); Sturm's sequence tells whether an eigenvalue lies above a number;
// inverse iteration finds the vector (Golub and Van Loan, "Matrix Computations", 8.3 to 8.5).
// LAPACK would do it too, but its threads would then spin for a while on the cores that the next kernel needs.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/arena.hpp"
#include "base/lanes.hpp"
#include "base/parallel.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t L = lanes<double>;
constexpr double eps = std::numeric_limits<double>::epsilon();
constexpr double negligible = 0x1p-400;  // beside 1, the largest entry; the squares of less may be subnormal
constexpr int inverse_iterations = 3;    // one is enough for nearly all vectors to begin with

// Numbers begin .. size - 1 of vectors that are multiples of L long, `begin` rounded down: zeros lie before and behind.
double dot(const double* a, const double* b, std::size_t begin, std::size_t size) {
    Vec<double> sum[4] = {};
    std::size_t j = begin / L * L;
    for (; j + 4 * L <= size; j += 4 * L)
        unroll<4>(
            [&](auto k) { sum[k] = multiply_add(load_vector(a + j + k * L), load_vector(b + j + k * L), sum[k]); });
    for (; j < size; j += L) sum[0] = multiply_add(load_vector(a + j), load_vector(b + j), sum[0]);
    return total((sum[0] + sum[1]) + (sum[2] + sum[3]));
}
void add(double factor, const double* a, double* to, std::size_t begin, std::size_t size) {
    for (std::size_t j = begin / L * L; j < size; j += L)
        store_vector(to + j, multiply_add(splat(factor), load_vector(a + j), load_vector(to + j)));
}

// d on the diagonal and e beside it, and the reflections that led there: row k of the matrix, and their factors.
struct Tridiagonal {
    const std::size_t n, pitch;
    double *matrix, *d, *e, *factor, *products;

    Tridiagonal(Arena& arena, std::size_t n)
        : n(n),
          pitch((n + L - 1) / L * L),
          matrix(arena.take<double>(n * pitch)),
          d(arena.take<double>(pitch)),
          e(arena.take<double>(pitch)),
          factor(arena.take<double>(pitch)),
          products(arena.take<double>(2 * pitch)) {}

    double* row(std::size_t i) const { return matrix + i * pitch; }

    // Each row is changed by one reflection and multiplied by the next while it is in the L1 cache.
    void reduce() const {
        double *w = products, *w_before = products + pitch;
        Pulse pulse;
        for (std::size_t k = 0; k < n && pulse.go_on(); ++k) {
            change(k, k, w_before);
            d[k] = row(k)[k];
            reflect(k);
            std::fill(w, w + pitch, 0.0);
            for (std::size_t i = k + 1; i < n; ++i) {
                change(i, k, w_before);
                if (factor[k] != 0) w[i] = factor[k] * dot(row(i), row(k), k + 1, n);
            }
            add(-factor[k] / 2 * dot(w, row(k), k + 1, n), row(k), w, k + 1, n);
            std::swap(w, w_before);
        }
    }

    // I - factor v v' makes row k zero behind e[k]; v takes the row's place.
    void reflect(std::size_t k) const {
        double* v = row(k);
        e[k] = k + 1 < n ? v[k + 1] : 0;
        factor[k] = 0;
        std::fill(v, v + k + 1, 0.0);
        const double norm = std::sqrt(dot(v, v, k + 1, n));
        if (k + 2 >= n || norm < negligible) return;
        e[k] = v[k + 1] > 0 ? -norm : norm;
        v[k + 1] -= e[k];
        factor[k] = 2 / dot(v, v, k + 1, n);
    }

    // Row i, from column k on, after reflection k - 1.
    void change(std::size_t i, std::size_t k, const double* w) const {
        if (k == 0 || factor[k - 1] == 0) return;
        const double *v = row(k - 1), *from = row(i);
        const Vec<double> by_v = splat(-v[i]), by_w = splat(-w[i]);
        double* to = row(i);
        for (std::size_t j = k / L * L; j < n; j += L)
            store_vector(to + j, multiply_add(by_v, load_vector(w + j),
                                              multiply_add(by_w, load_vector(v + j), load_vector(from + j))));
    }

    // A vector of the tridiagonal matrix as one of the original matrix.
    void turn_back(double* vector) const {
        for (std::size_t k = n; k-- > 0;)
            if (factor[k] != 0) add(-factor[k] * dot(row(k), vector, k + 1, n), row(k), vector, k + 1, n);
    }

    bool any_above(double x) const {
        double q = 1;
        for (std::size_t i = 0; i < n; ++i) {
            q = d[i] - x - (i > 0 ? e[i - 1] * e[i - 1] / q : 0);
            if (q > 0) return true;
            if (q == 0) q = -std::numeric_limits<double>::min();
        }
        return false;
    }

    double largest() const {
        double low = *std::max_element(d, d + n), high = low;
        for (std::size_t i = 0; i < n; ++i)
            high = std::max(high, d[i] + std::abs(e[i]) + (i > 0 ? std::abs(e[i - 1]) : 0));
        for (double middle = low + (high - low) / 2; low < middle && middle < high; middle = low + (high - low) / 2)
            (any_above(middle) ? low : high) = middle;
        return low;
    }
};

// Solves with a tridiagonal matrix less x, which is singular but for rounding: rows are exchanged, pivots are not 0.
struct Solver {
    const std::size_t n;
    double *diagonal, *first, *second, *multiplier;
    bool* swapped;

    Solver(Arena& arena, std::size_t n)
        : n(n),
          diagonal(arena.take<double>(n)),
          first(arena.take<double>(n)),
          second(arena.take<double>(n)),
          multiplier(arena.take<double>(n)),
          swapped(arena.take<bool>(n)) {}

    void factorise(const double* d, const double* e, double x) const {
        diagonal[0] = d[0] - x;
        first[0] = e[0];
        for (std::size_t i = 0; i + 1 < n; ++i) {
            const double next = d[i + 1] - x, beside = i + 2 < n ? e[i + 1] : 0;
            second[i] = 0;
            swapped[i] = std::abs(e[i]) > std::abs(diagonal[i]);
            if (swapped[i]) {
                multiplier[i] = diagonal[i] / e[i];
                diagonal[i + 1] = first[i] - multiplier[i] * next;
                first[i + 1] = -multiplier[i] * beside;
                diagonal[i] = e[i];
                first[i] = next;
                second[i] = beside;
            } else {
                multiplier[i] = diagonal[i] != 0 ? e[i] / diagonal[i] : 0;
                diagonal[i + 1] = next - multiplier[i] * first[i];
                first[i + 1] = beside;
            }
        }
        for (std::size_t i = 0; i < n; ++i)
            if (std::abs(diagonal[i]) < eps * eps) diagonal[i] = eps * eps;
    }

    void solve(double* y) const {
        for (std::size_t i = 0; i + 1 < n; ++i) {
            if (swapped[i]) std::swap(y[i], y[i + 1]);
            y[i + 1] -= multiplier[i] * y[i];
        }
        for (std::size_t i = n; i-- > 0;) {
            if (i + 1 < n) y[i] -= first[i] * y[i + 1];
            if (i + 2 < n) y[i] -= second[i] * y[i + 2];
            y[i] /= diagonal[i];
        }
    }
};

struct Workspace {
    Tridiagonal tridiagonal;
    Solver solver;
    double* vector;

    Workspace(Arena& arena, std::size_t n)
        : tridiagonal(arena, n), solver(arena, n), vector(arena.take<double>(tridiagonal.pitch)) {}
};

void normalise(double* vector, std::size_t n) {
    const double largest =
        std::abs(*std::max_element(vector, vector + n, [](double a, double b) { return std::abs(a) < std::abs(b); }));
    for (std::size_t i = 0; i < n; ++i) vector[i] /= largest;
    const double length = std::sqrt(dot(vector, vector, 0, n));
    for (std::size_t i = 0; i < n; ++i) vector[i] /= length;
}

}  // namespace

double top_eigenpair(const double* matrix, std::size_t n, double* vector) {
    const Scratch memory(1, bytes_of<Workspace>(n));
    Arena arena(memory.of(0));
    const Workspace work(arena, n);
    const Tridiagonal& t = work.tridiagonal;

    double largest = 0;
    for (std::size_t i = 0; i < n * n; ++i) largest = std::max(largest, std::abs(matrix[i]));
    const int exponent = largest > 0 ? std::max(std::ilogb(largest), -1000) : 0;
    const double unit = std::ldexp(1.0, -exponent);  // so that squares neither overflow nor vanish
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < t.pitch; ++j) t.row(i)[j] = j < n ? matrix[i * n + j] * unit : 0;

    t.reduce();
    const double value = t.largest();
    std::fill(work.vector, work.vector + t.pitch, 0.0);
    std::fill(work.vector, work.vector + n, 1.0);
    work.solver.factorise(t.d, t.e, value);
    for (int k = 0; k < inverse_iterations; ++k) {
        work.solver.solve(work.vector);
        normalise(work.vector, n);
    }
    t.turn_back(work.vector);
    std::copy(work.vector, work.vector + n, vector);
    return std::ldexp(value, exponent);
}

}  // namespace ra::RA_ISA

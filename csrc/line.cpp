#include "line.hpp"

namespace ra::RA_ISA {

namespace {

Path forced = Path::automatic;
constexpr int largest_by_networks = 64;

// Which way at which n, and why (ns per coordinate on one core with AVX-512, float32):
//   networks  n <= 32    all slopes, straight-line selection: fewest operations, but n^2 log(n)^2 of them
//   pairs     n <= 112   the dual, counting all pairs: n^2 / 2 cheap ones per trial
//   merge     n <= 4096  the dual, counting by merging: n log2(n)^2 per trial (float64: no limit)
//   rows      beyond     every row exactly, n^2; tags are no longer exact
template <class T>
Path choose_path(int n) {
    const bool counts = n > 16 && n <= largest_counted<T>;
    if (forced == Path::rows || (forced == Path::networks && n <= largest_by_networks)) return forced;
    if ((forced == Path::pairs || forced == Path::merge) && counts) return forced;
    if (n <= largest_by_networks) return Path::networks;
    if (n <= 112) return Path::pairs;
    return counts ? Path::merge : Path::rows;
}

// s_i for every row, exactly, lane after lane.
template <class T>
void row_medians_in_rows(const Design<T>& design, const Vec<T>* y, const LineWork<T>& memory) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    const int n = design.n;
    T* column = memory.dual.columns;
    std::fill_n(column + n, lanes<T>, std::numeric_limits<T>::quiet_NaN());
    for (int l = 0; l < lanes<T>; ++l) {
        for (int i = 0; i < n; ++i) column[i] = y[i][l];
        for (int i = 0; i < n; ++i)
            memory.s[i][l] = row_median(design.gaps, column, i, -infinity, infinity, memory.dual.list);
    }
}

// The median of y_i - i * slope, slope[i * step] that of row i.
template <class T>
Vec<T> median_intercept(const Vec<T>* y, const Vec<T>* slope, int step, Vec<T>* work, int n) {
    for (int i = 0; i < n; ++i) work[i] = y[i] - slope[i * step] * T(i);
    return median<T>(work, n);
}

}  // namespace

// Not for use while a kernel runs.
bool force_path(int path) {
    if (path < 0 || path > static_cast<int>(Path::rows)) return false;
    forced = static_cast<Path>(path);
    return true;
}

template <class T>
Line<T> fit_line(const Design<T>& design, const Vec<T>* y, Intercept intercept, const LineWork<T>& memory) {
    const int n = design.n;
    if (n == 1) return {Vec<T>{}, y[0]};
    const Path path = choose_path<T>(n);
    const bool separate = intercept == Intercept::separate;
    Line<T> line;
    if (path == Path::pairs || path == Path::merge) {
        Dual<T> dual(design, path == Path::merge, y, memory.dual);
        line.slope = dual.find(Unknown::slope);
        if (separate) line.intercept = -dual.find(Unknown::intercept);
    } else {
        if (path == Path::networks) row_medians(design.gaps, y, memory.s, memory.work);
        else row_medians_in_rows(design, y, memory);
        std::copy(memory.s, memory.s + n, memory.work);
        line.slope = median<T>(memory.work, n);
        if (separate) line.intercept = median_intercept<T>(y, memory.s, 1, memory.work, n);
    }
    if (intercept == Intercept::hierarchical) line.intercept = median_intercept<T>(y, &line.slope, 0, memory.work, n);
    if (intercept == Intercept::median_point) {
        const Vec<T> middle = y[(n - 1) / 2] * T(0.5) + y[n / 2] * T(0.5);
        line.intercept = middle - line.slope * (T(n - 1) / 2);
    }
    return line;
}

template Line<float> fit_line(const Design<float>&, const Vec<float>*, Intercept, const LineWork<float>&);
template Line<double> fit_line(const Design<double>&, const Vec<double>*, Intercept, const LineWork<double>&);

}  // namespace ra::RA_ISA

#include "line.hpp"

#include "exact.hpp"
#include "networks.hpp"

namespace ra::RA_ISA {

namespace {

constexpr int largest_network = 32;

Path forced = Path::automatic;

Path choose_path(int n) {
    if (forced != Path::automatic && !(forced == Path::networks && n > largest_network)) return forced;
    return n <= largest_network ? Path::networks : Path::rows;
}

// s[i] for every i, by selection networks.
template <class T, int n>
void row_medians(const Design<T>& design, const Vec<T>* y, Vec<T>* s) {
    constexpr int lower = (n - 2) / 2, upper = (n - 1) / 2;
    Vec<T> others[n];  // y without y_i
    for (int k = 1; k < n; ++k) others[k - 1] = y[k];
    for (int i = 0; i < n; ++i) {
        const T* reciprocal = design.gap_from(i);
        Vec<T> v[n - 1];
        for (int k = 0; k < n - 1; ++k) v[k] = (others[k] - y[i]) * reciprocal[k];
        run_network<n - 1, lower, upper + 1>(v);
        s[i] = lower == upper ? v[upper] : v[lower] * T(0.5) + v[upper] * T(0.5);
        others[i] = y[i];
    }
}

template <class T, int... n>
void row_medians(const Design<T>& design, const Vec<T>* y, Vec<T>* s, std::integer_sequence<int, n...>) {
    using Function = void (*)(const Design<T>&, const Vec<T>*, Vec<T>*);
    static constexpr Function of_size[] = {row_medians<T, n + 2>...};
    of_size[design.n - 2](design, y, s);
}

// The same by exact selection, lane after lane.
template <class T>
void row_medians_in_rows(const Design<T>& design, const Vec<T>* y, const LineWork<T>& memory) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    const int n = design.n;
    T* column = memory.column;
    for (int k = 0; k < lanes<T>; ++k) column[n + k] = std::numeric_limits<T>::quiet_NaN();
    for (int l = 0; l < lanes<T>; ++l) {
        for (int i = 0; i < n; ++i) column[i] = y[i][l];
        for (int i = 0; i < n; ++i) memory.s[i][l] = row_median(design, column, i, -infinity, infinity, memory.list);
    }
}

}  // namespace

void force_path(Path path) { forced = path; }

template <class T>
Line<T> fit_line(const Design<T>& design, const Vec<T>* y, Intercept intercept, const LineWork<T>& memory) {
    const int n = design.n;
    if (n == 1) return {Vec<T>{}, y[0]};
    Vec<T>*s = memory.s, *work = memory.work;
    if (choose_path(n) == Path::networks)
        row_medians<T>(design, y, s, std::make_integer_sequence<int, largest_network - 1>{});
    else row_medians_in_rows(design, y, memory);
    std::copy(s, s + n, work);
    Line<T> line;
    line.slope = median<T>(work, n);
    if (intercept == Intercept::median_point) {
        std::copy(y, y + n, work);
        line.intercept = median<T>(work, n) - line.slope * (T(n - 1) / 2);
        return line;
    }
    for (int i = 0; i < n; ++i) work[i] = y[i] - T(i) * (intercept == Intercept::separate ? s[i] : line.slope);
    line.intercept = median<T>(work, n);
    return line;
}

template Line<float> fit_line(const Design<float>&, const Vec<float>*, Intercept, const LineWork<float>&);
template Line<double> fit_line(const Design<double>&, const Vec<double>*, Intercept, const LineWork<double>&);

}  // namespace ra::RA_ISA

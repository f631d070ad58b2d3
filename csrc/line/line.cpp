#include "line/line.hpp"

namespace ra::RA_ISA {

namespace {

// Which way up to which n, and why. The bounds are where the next way becomes faster, float32 with AVX-512; they are no
// more than 1.3 times off with other vectors, for doubles and for the intercepts.
template <class T>
struct Choice {
    Path path;
    int largest;
};
template <class T>
constexpr Choice<T> choices[] = {
    {Path::networks, 64},  // all n^2 slopes, a selection network for each row: n^2 log(n)^2 minima and maxima
    {Path::pairs, 80},     // the dual, about 4 trials of n^2 / 2 comparisons and 10 rows exactly
    {Path::merge, largest_counted<T>},  // the dual, about 4 trials of n log(n)^2 exchanges and 20 rows exactly
    {Path::rows, std::numeric_limits<int>::max()},  // every row exactly, n^2: counts no longer fit
};
constexpr int smallest_dual = 17;  // the sample that a search starts from has 16 values

Path forced = Path::automatic;

template <class T>
Path choose_path(int n) {
    const bool possible = forced == Path::rows || (forced == Path::networks && n <= choices<T>[0].largest) ||
                          (forced != Path::networks && n >= smallest_dual && n <= largest_counted<T>);
    if (forced != Path::automatic && possible) return forced;
    const Choice<T>* choice = choices<T>;
    while (n > choice->largest) ++choice;
    return choice->path;
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
            memory.s[i][l] = row_median(design.gaps, column, i, -infinity, infinity, memory.dual.finish.list);
    }
}

}  // namespace

// Not for use while a kernel runs.
bool force_path(int path) {
    if (path < 0 || path > static_cast<int>(Path::rows)) return false;
    forced = static_cast<Path>(path);
    return true;
}

bool is_path_forced() { return forced != Path::automatic; }

template <class T>
Line<T> fit_line(const Design<T>& design, const Vec<T>* y, Intercept intercept, const LineWork<T>& memory) {
    const int n = design.n;
    if (n == 1) return {Vec<T>{}, y[0]};
    const Path path = choose_path<T>(n);
    if (path == Path::pairs || path == Path::merge) {
        Dual<T> dual(design, path == Path::merge, y, memory.dual);
        const Vec<T> slope = dual.find(Unknown::slope);
        if (intercept == Intercept::separate) return {slope, -dual.find(Unknown::intercept)};
        return {slope, intercept_of<T>(y, slope, nullptr, intercept, n, memory.work)};
    }
    if (path == Path::networks)
        row_medians(design.gaps, y, memory.s, memory.work);
    else
        row_medians_in_rows(design, y, memory);
    return line_of<T>(y, memory.s, intercept, n, memory.work);
}

template Line<float> fit_line(const Design<float>&, const Vec<float>*, Intercept, const LineWork<float>&);
template Line<double> fit_line(const Design<double>&, const Vec<double>*, Intercept, const LineWork<double>&);

}  // namespace ra::RA_ISA

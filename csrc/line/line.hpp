// The repeated-median line of sorted columns, one in each lane: Siegel (1982).
//     s_i = median over j != i of (y_j - y_i) / (j - i), slope = median s_i, and the intercept
//     separate: median (y_i - i s_i);  hierarchical: median (y_i - i slope);  median_point: median(y) - slope (n - 1)
//     / 2.
// y must be free of values whose differences overflow, and should be small against its spread (see centre in
// column.hpp).
#pragma once

#include "line/dual.hpp"

namespace ra::RA_ISA {

template <class T>
struct Line {
    Vec<T> slope, intercept;
};

// The ways to find it; line.cpp tells which one is taken when. Tests force one by its number, where it applies.
enum class Path { automatic, networks, pairs, merge, rows };
bool is_path_forced();

template <class T>
struct LineWork {
    Vec<T>*s, *work;  // n each
    DualWork<T> dual;

    LineWork(Arena& arena, std::size_t n) : s(arena.take<Vec<T>>(n)), work(arena.take<Vec<T>>(n)), dual(arena, n) {}
};

// The intercept that belongs to a slope, s_i being the rows' own slopes. n: an int, or Few; work: n vectors.
template <class T, class N>
inline Vec<T> intercept_of(const Vec<T>* y, Vec<T> slope, const Vec<T>* s, Intercept kind, N n, Vec<T>* work) {
    if (kind == Intercept::median_point) return middle<T>(y, n) - slope * (T(n - 1) / 2);
    if (kind == Intercept::hierarchical)
        each(n, [&](auto i) { work[i] = y[i] - slope * T(int(i)); });
    else
        each(n, [&](auto i) { work[i] = y[i] - s[i] * T(int(i)); });
    return median<T>(work, n);
}

// The line of rows' own slopes.
template <class T, class N>
inline Line<T> line_of(const Vec<T>* y, const Vec<T>* s, Intercept kind, N n, Vec<T>* work) {
    each(n, [&](auto i) { work[i] = s[i]; });
    const Vec<T> slope = median<T, Signs::none>(work, n);
    return {slope, intercept_of<T>(y, slope, s, kind, n, work)};
}

template <class T>
Line<T> fit_line(const Design<T>& design, const Vec<T>* y, Intercept intercept, const LineWork<T>& memory);

}  // namespace ra::RA_ISA

// The repeated-median line of sorted columns, one in each lane: Siegel (1982).
//     s_i = median over j != i of (y_j - y_i) / (j - i), slope = median s_i, and the intercept
//     separate: median (y_i - i s_i);  hierarchical: median (y_i - i slope);  median_point: median(y) - slope (n - 1)
//     / 2.
// y must be free of values whose differences overflow, and should be small against its spread (see centre in
// column.hpp).
#pragma once

#include "dual.hpp"

namespace ra::RA_ISA {

template <class T>
struct Line {
    Vec<T> slope, intercept;
};

// The ways to find it; line.cpp tells which one is taken when. Tests force one by its number, where it applies.
enum class Path { automatic, networks, pairs, merge, rows };

template <class T>
struct LineWork {
    Vec<T>*s, *work;  // n each
    DualWork<T> dual;

    LineWork(Arena& arena, std::size_t n) : s(arena.take<Vec<T>>(n)), work(arena.take<Vec<T>>(n)), dual(arena, n) {}
};

template <class T>
Line<T> fit_line(const Design<T>& design, const Vec<T>* y, Intercept intercept, const LineWork<T>& memory);

}  // namespace ra::RA_ISA

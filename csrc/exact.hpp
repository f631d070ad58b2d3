// The exact median slope of one row of one coordinate: s_i = median over j != i of (y_j - y_i) / (j - i), vectors along j.
// Where a bracket of s_i is known, only the slopes inside are collected and ordered.
#pragma once

#include <limits>

#include "design.hpp"

namespace ra::RA_ISA {

// The two middle ones of `count` sorted things; the same one where count is odd.
struct Middle {
    int lower, upper;
    explicit Middle(int count) : lower((count - 1) / 2), upper(count / 2) {}
};

// Reorders list[0 .. count-1] so that list[rank] is the value of that rank, none before it is above, none after below.
template <class T>
inline void nth(T* list, int count, int rank) {
    int low = 0, high = count - 1;
    while (low < high) {
        const T a = list[low], b = list[(low + high) / 2], c = list[high];
        const T pivot = std::max(std::min(a, b), std::min(std::max(a, b), c));
        int i = low, j = high;
        while (i <= j) {
            while (list[i] < pivot) ++i;
            while (pivot < list[j]) --j;
            if (i <= j) std::swap(list[i++], list[j--]);
        }
        if (rank <= j) high = j;
        else if (rank >= i) low = i;
        else return;
    }
}

// Slopes of a row, split at a bracket [low, high).
template <class T>
struct SplitRow {
    T last_below = -std::numeric_limits<T>::infinity(), first_above = std::numeric_limits<T>::infinity();
    int below = 0, inside = 0;

    // y holds n values and NaN up to a whole vector; list has room for n and a vector more.
    SplitRow(const Design<T>& design, const T* y, int i, T low, T high, T* list) {
        const Vec<T> y_i = splat(y[i]), low_v = splat(low), high_v = splat(high);
        Vec<T> last = splat(last_below), first = splat(first_above);
        const T* reciprocal = design.from(i);
        for (int j = 0; j < design.n; j += lanes<T>) {
            const Vec<T> slope = (load_vector(y + j) - y_i) * load_vector(reciprocal + j);
            const Mask<T> is_below = less(slope, low_v), is_above = less_equal(high_v, slope);
            below += __builtin_popcount(bits(is_below));
            inside += compress(list + inside, less_equal(low_v, slope) & less(slope, high_v), slope);
            last = max(choose(is_below, slope, last), last);
            first = min(choose(is_above, slope, first), first);
        }
        for (int l = 0; l < lanes<T>; ++l) {
            last_below = std::max(last_below, last[l]);
            first_above = std::min(first_above, first[l]);
        }
    }
};

// s_i exactly, whatever the bracket; fast where it holds the middle slopes, or the neighbour of one.
template <class T>
inline T row_median(const Design<T>& design, const T* y, int i, T low, T high, T* list) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    const SplitRow<T> row(design, y, i, low, high, list);
    const Middle middle(design.n - 1);
    const int lower = middle.lower - row.below, upper = middle.upper - row.below;
    if (lower < -1 || upper > row.inside) return row_median(design, y, i, -infinity, infinity, list);
    if (upper < 0) return row.last_below;
    if (upper < row.inside) nth(list, row.inside, upper);
    const T last = upper < row.inside ? list[upper] : row.first_above;
    if (lower == upper) return last;
    const T first = lower < 0 ? row.last_below : *std::max_element(list, list + upper);
    return first * T(0.5) + last * T(0.5);
}

}  // namespace ra::RA_ISA

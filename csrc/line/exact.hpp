// The exact median slope of one row of one coordinate: s_i = median over j != i of (y_j - y_i) / (j - i), vectors along
// j. Where a bracket of s_i is known, only the slopes inside are collected and ordered.
#pragma once

#include <limits>

#include "base/lanes.hpp"
#include "line/design.hpp"

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
        if (rank <= j)
            high = j;
        else if (rank >= i)
            low = i;
        else
            return;
    }
}

// The value of one rank, and of the one before it.
template <class T>
struct Ranked {
    T value, before;
};

// list has room for a vector more than count.
template <class T>
inline Ranked<T> find_rank(T* list, int count, int rank) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    if (count > 4 * lanes<T>) {
        nth(list, count, rank);
        return {list[rank], rank > 0 ? *std::max_element(list, list + rank) : -infinity};
    }
    // The value of a rank is the largest with no more than so many values below it.
    store_vector(list + count, splat(infinity));
    Vec<T> value = splat(-infinity), before = value;
    for (int k = 0; k < count; k += lanes<T>) {
        const Vec<T> candidates = load_vector(list + k);
        Vec<T> below{};
        constexpr int step = std::min(4, lanes<T>);
        for (int j = 0; j < count; j += step)
            unroll<step>([&](auto u) { below = add_where(less(splat(list[j + u]), candidates), below, splat(T(1))); });
        value = choose(less_equal(below, splat(T(rank))), max(value, candidates), value);
        before = choose(less_equal(below, splat(T(rank - 1))), max(before, candidates), before);
    }
    return {largest(value), largest(before)};
}

template <class T>
inline T mean_of_ranks(T* list, int count, int lower, int upper) {
    const Ranked<T> found = find_rank(list, count, upper);
    return (lower < upper ? found.before : found.value) * T(0.5) + found.value * T(0.5);
}

// The slopes of row i. y holds n values, and NaN up to a whole vector.
template <class T>
struct RowSlopes {
    const Gaps<T>& gaps;
    const T* y;
    const int i;

    template <class Visit>
    void each(const Visit& visit) const {
        const Vec<T> own = splat(y[i]);
        const T* reciprocal = gaps.from(i);
        for (int j = 0; j < gaps.n; j += lanes<T>) visit((load_vector(y + j) - own) * load_vector(reciprocal + j));
    }
    // Collects those of [low, high) and returns how many they are, and how many are below.
    struct Split {
        int below, inside;
    };
    Split split(T low, T high, T* list) const {
        Split found{0, 0};
        each([&](Vec<T> slope) {
            found.below += __builtin_popcount(bits(less(slope, splat(low))));
            found.inside +=
                compress(list + found.inside, less_equal(splat(low), slope) & less(slope, splat(high)), slope);
        });
        return found;
    }
    T last_below(T bound) const {
        Vec<T> last = splat(-std::numeric_limits<T>::infinity());
        each([&](Vec<T> slope) { last = choose(less(slope, splat(bound)), max(slope, last), last); });
        return largest(last);
    }
    T first_from(T bound) const {
        Vec<T> first = splat(std::numeric_limits<T>::infinity());
        each([&](Vec<T> slope) { first = choose(less_equal(splat(bound), slope), min(slope, first), first); });
        return -largest(-first);
    }
};

// s_i exactly if it lies in [low, high) or beside it; an infinity, on its side of the bracket, if not.
template <class T>
inline T row_median(const Gaps<T>& gaps, const T* y, int i, T low, T high, T* list) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    const RowSlopes<T> row{gaps, y, i};
    const Middle middle(gaps.n - 1);
    // Of two middle slopes one may be just outside.
    if (middle.lower < middle.upper && high - low < infinity) {
        const T margin = high - low;
        low -= margin, high += margin;
    }
    const auto split = row.split(low, high, list);
    const int lower = middle.lower - split.below, upper = middle.upper - split.below;
    if (upper < 0) return -infinity;
    if (lower >= split.inside) return infinity;
    if (0 <= lower && upper < split.inside) return mean_of_ranks(list, split.inside, lower, upper);
    const T first = lower < 0 ? row.last_below(low) : find_rank(list, split.inside, lower).value;
    const T last = upper < split.inside ? find_rank(list, split.inside, upper).value : row.first_from(high);
    return first * T(0.5) + last * T(0.5);
}

}  // namespace ra::RA_ISA

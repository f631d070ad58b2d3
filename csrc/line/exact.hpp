// The exact median slope of one row of one coordinate: s_i = median over j != i of (y_j - y_i) / (j - i), vectors along
// j. Where a bracket of s_i is known, only the slopes inside are collected and ordered.
#pragma once

#include <limits>

#include "base/arena.hpp"
#include "base/lanes.hpp"
#include "line/design.hpp"
#include "order/rank.hpp"

namespace ra::RA_ISA {

// The two middle ones of `count` sorted things; the same one where count is odd.
struct Middle {
    int lower, upper;
    explicit Middle(int count) : lower((count - 1) / 2), upper(count / 2) {}
};

// How many numbers are below one bound, and up to another.
template <class T>
class Bounded {
  public:
    Bounded(T low, T high) : low_(splat(low)), high_(splat(high)) {}

    void add(Vec<T> v) {
        below_ = count_where<T>(less(v, low_), below_);
        upto_ = count_where<T>(less_equal(v, high_), upto_);
    }
    struct Counts {
        int below, upto;
    };
    Counts counts() const {
        constexpr int half = 4 * sizeof(T);  // bits of a whole number
        const Integer<T> both = total<T>(below_ + (upto_ << half));
        return {static_cast<int>(both & ((Integer<T>{1} << half) - 1)), static_cast<int>(both >> half)};
    }

  private:
    const Vec<T> low_, high_;
    Whole<T> below_{}, upto_{};
};

// The value of one rank, and of the one before it.
template <class T>
struct Ranked {
    T value, before;
};

// A list of numbers, with room for a vector more, from which ranks are found; that leaves fewer of them.
template <class T>
class List {
  public:
    List(T* list, int count) : list_(list), count_(count) {}

    // A quickselect, whose pivots come from the list and, should these be bad, from halving the numbers that lie
    // between its ends: no data takes more than `patient` + 32 (64) passes.
    Ranked<T> find(int rank) {
        constexpr T infinity = std::numeric_limits<T>::infinity();
        constexpr int patient = 8;
        T low = -infinity, high = infinity, before = low;
        for (int pass = 0; count_ > 2 * lanes<T>; ++pass) {
            store_vector(list_ + count_, splat(std::numeric_limits<T>::quiet_NaN()));
            const T pivot = pass < patient ? middle_of_three() : halfway(low, high);
            Bounded<T> bounded(pivot, pivot);
            each([&](Vec<T> v) { bounded.add(v); });
            const auto [below, upto] = bounded.counts();
            if (rank < below) {
                high = pivot;
                keep([&](Vec<T> v) { return less(v, splat(pivot)); });
                continue;
            }
            const T last = below < upto && rank != below ? pivot : std::max(before, largest_below(pivot));
            if (rank < upto) return {pivot, last};
            before = last, low = pivot, rank -= upto;
            keep([&](Vec<T> v) { return less(splat(pivot), v); });
        }
        const Ranked<T> found = find_among_few(rank);
        return {found.value, std::max(before, found.before)};
    }

  private:
    template <class Visit>
    void each(const Visit& visit) const {
        for (int k = 0; k < count_; k += lanes<T>) visit(load_vector(list_ + k));
    }
    template <class Which>
    void keep(const Which& which) {
        int kept = 0;
        each([&](Vec<T> v) { kept += compress(list_ + kept, which(v), v); });
        count_ = kept;
    }
    T middle_of_three() const {
        const T a = list_[count_ / 4], b = list_[count_ / 2], c = list_[count_ * 3 / 4];
        return std::max(std::min(a, b), std::min(std::max(a, b), c));
    }
    T largest_below(T bound) const {
        Vec<T> last = splat(-std::numeric_limits<T>::infinity());
        each([&](Vec<T> v) { last = choose(less(v, splat(bound)), max(v, last), last); });
        return largest(last);
    }
    // The value of a rank is the largest with no more than so many values below it.
    Ranked<T> find_among_few(int rank) {
        constexpr T infinity = std::numeric_limits<T>::infinity();
        store_vector(list_ + count_, splat(infinity));
        Vec<T> value = splat(-infinity), before = value;
        each([&](Vec<T> candidates) {
            Vec<T> below{};
            constexpr int step = std::min(4, lanes<T>);
            for (int j = 0; j < count_; j += step)
                unroll<step>(
                    [&](auto u) { below = add_where(less(splat(list_[j + u]), candidates), below, splat(T(1))); });
            value = choose(less_equal(below, splat(T(rank))), max(value, candidates), value);
            before = choose(less_equal(below, splat(T(rank - 1))), max(before, candidates), before);
        });
        return {largest(value), largest(before)};
    }

    T* const list_;
    int count_;
};

template <class T>
inline T mean_of_ranks(T* list, int count, int lower, int upper) {
    const Ranked<T> found = List<T>(list, count).find(upper);
    return lower < upper ? found.before * T(0.5) + found.value * T(0.5) : found.value;
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
        Whole<T> below{};
        int inside = 0;
        each([&](Vec<T> slope) {
            below = count_where<T>(less(slope, splat(low)), below);
            inside += compress(list + inside, less_equal(splat(low), slope) & less(slope, splat(high)), slope);
        });
        return {static_cast<int>(total<T>(below)), inside};
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
    const T first = lower < 0 ? row.last_below(low) : List<T>(list, split.inside).find(lower).value;
    const T last = upper < split.inside ? List<T>(list, split.inside).find(upper).value : row.first_from(high);
    return first * T(0.5) + last * T(0.5);
}

}  // namespace ra::RA_ISA

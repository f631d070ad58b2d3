// The end of a search by counting (dual.hpp): the middle of the values of the rows that are left, exactly. A row's value
// is s_i, or i s_i - y_i. To find one takes several times as long as to tell on which side of a bracket it lies. So a
// few are found, which tell where the middle should be, and of the others only those that may lie there: the selection
// of Floyd and Rivest, Algorithm 489 (1975), for keys that are dear.
#pragma once

#include "line/exact.hpp"

namespace ra::RA_ISA {

enum class Unknown { slope, intercept };  // t is the slope, or the intercept's negative

template <class T>
struct FinishWork {
    T *list, *values;
    int* sides;

    FinishWork(Arena& arena, std::size_t n)
        : list(arena.take<T>(n + lanes<T>)), values(arena.take<T>(n + lanes<T>)), sides(arena.take<int>(n)) {}
};

// The rows of one column; y as in RowSlopes.
template <class T>
class RowValues {
  public:
    RowValues(Unknown unknown, const Gaps<T>& gaps, const T* y, const FinishWork<T>& work)
        : unknown_(unknown), gaps_(gaps), y_(y), work_(work), middle_(gaps.n - 1) {}

    // The mean of the values of two neighbouring ranks, or of one, among `count` rows, which are reordered. The values
    // are thought to lie from low to high.
    T mean_of_ranks(int* rows, int count, int lower, int upper, T low, T high) const {
        int reach = widest;
        for (int round = 0; round < most_rounds && count > few; ++round) {
            sample(rows, count, low, high);
            const int place = std::min((lower + upper + 1) * samples / (2 * count), samples - 1);
            const T from = place >= reach ? work_.values[place - reach] : low;
            const T upto = place + reach < samples ? work_.values[place + reach] : high;
            int number[3] = {0, 0, 0}, kept = 0;
            for (int k = 0; k < count; ++k) ++number[work_.sides[k] = side_of(rows[k], from, upto)];
            const auto side = [&](int rank) {
                return rank < number[below] ? below : rank < count - number[above] ? between : above;
            };
            const Side first = side(lower), last = side(upper);
            if (from == upto && first == between && last == between) return from;
            for (int k = 0; k < count; ++k)
                if (first <= work_.sides[k] && work_.sides[k] <= last) rows[kept++] = rows[k];
            for (int s = 0; s < first; ++s) lower -= number[s], upper -= number[s];
            if (first > below) low = from;
            if (last < above) high = upto;
            reach = kept > count / 2 ? 0 : widest;
            count = kept;
        }
        for (int k = 0; k < count; ++k) work_.values[k] = of(rows[k], low, high);
        return ra::RA_ISA::mean_of_ranks(work_.values, count, lower, upper);
    }

  private:
    static constexpr int few = 12, samples = 9, widest = 2, most_rounds = 8;
    enum Side { below, between, above };

    // The value of row i; it is fastest found if it lies from low to high.
    T of(int i, T low, T high) const {
        constexpr T infinity = std::numeric_limits<T>::infinity();
        if (unknown_ == Unknown::intercept) {
            if (i == 0) return -y_[0];
            const T inverse = gaps_.from(0)[i];
            low = (y_[i] + low) * inverse, high = (y_[i] + high) * inverse;
        }
        T s = row_median(gaps_, y_, i, low, high, work_.list);
        if (std::abs(s) == infinity) s = row_median(gaps_, y_, i, -infinity, infinity, work_.list);
        return unknown_ == Unknown::slope ? s : T(i) * s - y_[i];
    }

    // The values of some rows, in order.
    void sample(const int* rows, int count, T low, T high) const {
        for (int k = 0; k < samples; ++k) {
            const T v = of(rows[(2 * k + 1) * count / (2 * samples)], low, high);
            int to = k;
            for (; to > 0 && v < work_.values[to - 1]; --to) work_.values[to] = work_.values[to - 1];
            work_.values[to] = v;
        }
    }

    // On which side of low ... high row i's value lies. Values are in the order of slopes, however both are rounded; only
    // where an end lies between two middle slopes, their mean must be looked at.
    Side side_of(int i, T low, T high) const {
        const auto side = [&](T v) { return v < low ? below : v <= high ? between : above; };
        if (unknown_ == Unknown::intercept && i == 0) return side(-y_[0]);
        const Counts counts = count(i, low, high);
        if (counts.below > middle_.upper) return below;
        if (counts.upto <= middle_.lower) return above;
        return counts.below <= middle_.lower && counts.upto > middle_.upper ? between : side(of(i, low, high));
    }

    // How many slopes give values below `low`, and up to `high`.
    struct Counts {
        Integer<T> below, upto;
    };
    Counts count(int i, T low, T high) const {
        if (unknown_ == Unknown::slope) return count(i, low, high, [](Vec<T> slope) { return slope; });
        const Vec<T> rank = splat(T(i)), own = splat(y_[i]);
        return count(i, low, high, [&](Vec<T> slope) { return rank * slope - own; });
    }
    template <class Value>
    Counts count(int i, T low, T high, const Value& value) const {
        constexpr int half = 4 * sizeof(T);  // bits of a whole number
        Whole<T> below{}, upto{};
        RowSlopes<T>{gaps_, y_, i}.each([&](Vec<T> slope) {
            const Vec<T> v = value(slope);
            below = count_where<T>(less(v, splat(low)), below);
            upto = count_where<T>(less_equal(v, splat(high)), upto);
        });
        const Integer<T> both = total<T>(below + (upto << half));
        return {both & ((Integer<T>{1} << half) - 1), both >> half};
    }

    const Unknown unknown_;
    const Gaps<T>& gaps_;
    const T* const y_;
    const FinishWork<T>& work_;
    const Middle middle_;
};

}  // namespace ra::RA_ISA

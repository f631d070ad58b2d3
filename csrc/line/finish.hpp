// The end of a search by counting (dual.hpp): the middle of the values of the rows that are left, exactly. A row's
// value is s_i, or i s_i - y_i. To find one takes several times as long as to tell on which side of a bracket it lies.
// So a few are found, which tell where the middle should be, and of the others only those that may lie there: the
// selection of Floyd and Rivest, Algorithm 489 (1975), for keys that are dear.
#pragma once

#include "line/exact.hpp"

namespace ra::RA_ISA {

enum class Unknown { slope, intercept };  // t is the slope, or the intercept's negative

template <class T>
struct FinishWork {
    T *list, *values;
    int *sides, *others;

    FinishWork(Arena& arena, std::size_t n)
        : list(arena.take<T>(n + lanes<T>)),
          values(arena.take<T>(n + lanes<T>)),
          sides(arena.take<int>(n)),
          others(arena.take<int>(n)) {}
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
        for (int round = 0; round < most_rounds && count > (round == 0 ? worthwhile : few); ++round) {
            const int samples = round == 0 ? 7 : 3, reach = round == 0 ? 1 : 0;
            sample(samples, rows, count, low, high);
            const int place = std::min((lower + upper + 1) * samples / (2 * count), samples - 1);
            const T from = place >= reach ? work_.values[place - reach] : low;
            const T upto = place + reach < samples ? work_.values[place + reach] : high;
            int number[3] = {0, 0, 0};
            for (int k = 0; k < count; ++k) ++number[work_.sides[k] = side_of(rows[k], from, upto)];
            const int first_of[3] = {0, number[below], number[below] + number[between]};
            const T start[3] = {low, from, upto}, end[3] = {from, upto, high};
            const auto side = [&](int rank) {
                return rank < first_of[1] ? below : rank < first_of[2] ? between : above;
            };
            const Side s = side(lower), other = side(upper);
            if (s != other) {
                const int behind = keep(other, rows, count, work_.others), ahead = keep(s, rows, count, rows);
                const T a = mean_of_ranks(rows, ahead, ahead - 1, ahead - 1, start[s], end[s]);
                return a * T(0.5) + mean_of_ranks(work_.others, behind, 0, 0, start[other], end[other]) * T(0.5);
            }
            if (from == upto && s == between) return from;
            count = keep(s, rows, count, rows);
            lower -= first_of[s], upper -= first_of[s], low = start[s], high = end[s];
        }
        for (int k = 0; k < count; ++k) work_.values[k] = of(rows[k], low, high);
        return ra::RA_ISA::mean_of_ranks(work_.values, count, lower, upper);
    }

  private:
    static constexpr int worthwhile = 24, few = 8, most_rounds = 8;
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
    void sample(int samples, const int* rows, int count, T low, T high) const {
        for (int k = 0; k < samples; ++k) {
            const T v = of(rows[(2 * k + 1) * count / (2 * samples)], low, high);
            int to = k;
            for (; to > 0 && v < work_.values[to - 1]; --to) work_.values[to] = work_.values[to - 1];
            work_.values[to] = v;
        }
    }

    // The rows of one side.
    int keep(Side side, const int* rows, int count, int* to) const {
        int kept = 0;
        for (int k = 0; k < count; ++k)
            if (work_.sides[k] == side) to[kept++] = rows[k];
        return kept;
    }

    // On which side of low ... high row i's value lies. Values are in the order of slopes, however both are rounded;
    // only where an end lies between two middle slopes, their mean must be looked at.
    Side side_of(int i, T low, T high) const {
        const auto side = [&](T v) { return v < low ? below : v <= high ? between : above; };
        if (unknown_ == Unknown::intercept && i == 0) return side(-y_[0]);
        const auto [under, upto] = count(i, low, high);
        if (under > middle_.upper) return below;
        if (upto <= middle_.lower) return above;
        return under <= middle_.lower && upto > middle_.upper ? between : side(of(i, low, high));
    }

    // How many of row i's slopes give values below `low`, and up to `high`.
    typename Bounded<T>::Counts count(int i, T low, T high) const {
        Bounded<T> bounded(low, high);
        const RowSlopes<T> row{gaps_, y_, i};
        const Vec<T> rank = splat(T(i)), own = splat(y_[i]);
        if (unknown_ == Unknown::slope)
            row.each([&](Vec<T> slope) { bounded.add(slope); });
        else
            row.each([&](Vec<T> slope) { bounded.add(rank * slope - own); });
        return bounded.counts();
    }

    const Unknown unknown_;
    const Gaps<T>& gaps_;
    const T* const y_;
    const FinishWork<T>& work_;
    const Middle middle_;
};

}  // namespace ra::RA_ISA

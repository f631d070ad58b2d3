// The repeated median by its dual: instead of computing slopes, search for the line's parameter t by counting.
//
// Of row i, slope_ij < t exactly where z = y - t x puts i and j the other way round: the number of slopes of row i
// below t is the number of inversions that element i is in (count.hpp), and s_i < t where these are more than half. The
// median s_i is where half of the rows are below t. The separate intercept has a dual too: with t = -b and m_i = (y_i +
// t) / x_i, row i has x_i s_i - y_i < t exactly where s_i < m_i, and slope_ij < m_i where m_i and m_j are inverted; x_0
// = 0 stands at one end or the other, as -y_0 < t tells.
//
// Counting only classifies rows: below a bracket of t, above it, or neither. The values of the neithers are computed
// exactly (exact.hpp), and ranked behind the rows below. So the answer is always made of slopes of the data, and a
// comparison that rounding turns can only misplace a row that lies within rounding of the bracket's ends.
#pragma once

#include "arena.hpp"
#include "bracket.hpp"
#include "count.hpp"
#include "exact.hpp"
#include "slopes.hpp"

namespace ra::RA_ISA {

enum class Unknown { slope, intercept };  // t is the slope, or the intercept's negative

template <class T>
struct DualWork {
    Vec<T>*z, *tag, *pairs_tag;           // a trial
    Vec<T>*low_tag, *high_tag;            // the trials at the ends of each lane's bracket
    Vec<T>*sample_y, *sample_s, *sample;  // of the thinned column
    unsigned* known;                      // a bit for each lane: the row is below or above the bracket
    int* rows;                            // of each lane: the others
    T *columns, *values, *list;

    DualWork(Arena& arena, std::size_t n)
        : z(arena.take<Vec<T>>(n + lanes<T>)),
          tag(arena.take<Vec<T>>(n + lanes<T>)),
          pairs_tag(arena.take<Vec<T>>(n)),
          low_tag(arena.take<Vec<T>>(n)),
          high_tag(arena.take<Vec<T>>(n)),
          sample_y(arena.take<Vec<T>>(Thinning::most)),
          sample_s(arena.take<Vec<T>>(Thinning::most)),
          sample(arena.take<Vec<T>>(Thinning::most)),
          known(arena.take<unsigned>(2 * n)),
          rows(arena.take<int>(n * lanes<T>)),
          columns(arena.take<T>((n + lanes<T>)*lanes<T>)),
          values(arena.take<T>(n + lanes<T>)),
          list(arena.take<T>(n + lanes<T>)) {}
};

template <class T>
class Dual {
  public:
    Dual(const Design<T>& design, bool by_merging, const Vec<T>* y, const DualWork<T>& work)
        : design_(design), by_merging_(by_merging), y_(y), work_(work), n_(design.n) {
        find_majorities();
        if (settled_ == all_lanes) return;
        const int stride = n_ + lanes<T>;
        for (int i = 0; i < n_; ++i)
            for (int l = 0; l < lanes<T>; ++l) work.columns[l * stride + i] = y[i][l];
        for (int l = 0; l < lanes<T>; ++l)
            std::fill_n(work.columns + l * stride + n_, lanes<T>, std::numeric_limits<T>::quiet_NaN());
        const Thinning& thin = design.thinning;
        for (int k = 0; k < thin.size; ++k) work.sample_y[k] = y[thin.first + k * thin.step];
        row_medians(design.thinned_gaps, work.sample_y, work.sample_s, work.sample);
    }

    Vec<T> find(Unknown unknown) {
        Vec<T> found = unknown == Unknown::slope ? Vec<T>{} : -majority_;
        if (settled_ == all_lanes) return found;
        start(unknown);
        while (!all_done()) narrow(unknown);
        collect_rows();
        for (int l = 0; l < lanes<T>; ++l)
            if (!settled(l)) found[l] = finish(unknown, l);
        return found;
    }

  private:
    using Lane = Bracket<T>;

    bool all_done() const {
        return std::all_of(lane_, lane_ + lanes<T>, [](const Lane& lane) { return lane.done(); });
    }

    // Where more than half of the values are equal (the zeros of sparse updates), so are more than half of each of
    // their rows' slopes, 0, and no slope is below 0: the line is flat, through them.
    void find_majorities() {
        const int apart = n_ / 2 + 1;
        for (int i = 0; i + apart < n_; ++i) {
            const Mask<T> equals = equal(y_[i], y_[i + apart]);
            settled_ |= bits(equals);
            majority_ = choose(equals, y_[i], majority_);
        }
    }
    bool settled(int l) const { return (settled_ >> l & 1U) != 0; }

    static Vec<T> narrower(const Vec<T>* sorted, int count, int below, int above) {
        const int quarter = count / 4;
        return min(sorted[below] - sorted[below - quarter], sorted[above + quarter] - sorted[above]) * T(2);
    }

    void start(Unknown unknown) {
        const Thinning& thin = design_.thinning;
        const int size = thin.size;
        for (int k = 0; k < size; ++k) {
            const Vec<T> s = work_.sample_s[k] * (T(1) / T(thin.step));
            work_.sample[k] = unknown == Unknown::slope ? s : s * T(thin.first + k * thin.step) - work_.sample_y[k];
        }
        ra::RA_ISA::sort<T>(work_.sample, size);
        const Vec<T> guess = work_.sample[size / 2 - 1] * T(0.5) + work_.sample[size / 2] * T(0.5);
        // Twice the narrower quarter next to the middle: on the other side there may be attackers. The sample may agree
        // where the rows do not; the values then give the scale, and if most are equal, the extremes.
        const Vec<T> spread = narrower(work_.sample, size, size / 2 - 1, size / 2);
        const Vec<T> part = splat(unknown == Unknown::slope ? T(1) / T(n_) : T(1));
        const Vec<T> least = max(narrower(y_, n_, n_ / 2, n_ / 2), (y_[n_ - 1] - y_[0]) * T(1e-4)) * part;
        for (int l = 0; l < lanes<T>; ++l) {
            lane_[l] = Lane(n_, guess[l], std::max({spread[l], least[l] / 16, std::numeric_limits<T>::min()}));
            if (settled(l)) lane_[l].settle();
        }
    }

    void place(Unknown unknown, Vec<T> t) {
        if (unknown == Unknown::slope) {
            for (int i = 0; i < n_; ++i) work_.z[i] = y_[i] - t * T(i);
        } else {
            const T end = std::numeric_limits<T>::max();
            work_.z[0] = choose(less(-y_[0], t), splat(end), splat(-end));
            for (int i = 1; i < n_; ++i) work_.z[i] = (y_[i] + t) * design_.gaps.from(0)[i];
        }
    }
    void trial(Unknown unknown, Vec<T> t) {
        place(unknown, t);
        if (!by_merging_) return count_pairs(work_.z, work_.tag, n_, design_.unit);
        const Vec<T> hidden = count_by_merging(work_.z, work_.tag, n_, design_.units());
        // Far outliers round to the same z in great number: such lanes count pairs, which do not mind ties.
        const Mask<T> tied = less(splat(T(n_ / 32)), hidden);
        if (!any(tied)) return;
        place(unknown, t);
        count_pairs(work_.z, work_.pairs_tag, n_, design_.unit);
        for (int i = 0; i < n_; ++i) work_.tag[i] = choose(tied, work_.pairs_tag[i], work_.tag[i]);
    }

    // One more trial in every lane that needs one.
    void narrow(Unknown unknown) {
        Vec<T> t;
        for (int l = 0; l < lanes<T>; ++l) t[l] = lane_[l].next;
        trial(unknown, t);
        Vec<T> below{}, above{};
        const Vec<T> one = splat(T(1));
        for (int i = 0; i < n_; ++i) {
            below = add_where(is_below(work_.tag[i]), below, one);
            above = add_where(is_above(work_.tag[i]), above, one);
        }
        Vec<T> low{}, high{};
        for (int l = 0; l < lanes<T>; ++l) {
            if (lane_[l].done()) continue;
            const auto side = lane_[l].narrow(static_cast<int>(below[l]), static_cast<int>(above[l]));
            low[l] = side == Lane::Side::low ? T(1) : T(0);
            high[l] = side == Lane::Side::high ? T(1) : T(0);
        }
        const Mask<T> to_low = less(Vec<T>{}, low), to_high = less(Vec<T>{}, high);
        for (int i = 0; i < n_; ++i) {
            work_.low_tag[i] = choose(to_low, work_.tag[i], work_.low_tag[i]);
            work_.high_tag[i] = choose(to_high, work_.tag[i], work_.high_tag[i]);
        }
    }

    // Of n - 1 slopes, more than the upper middle one, or no more than the lower middle one, lie below t.
    Mask<T> is_below(Vec<T> tag) const { return less_equal(splat(design_.unit * T(Middle(n_ - 1).upper + 1)), tag); }
    Mask<T> is_above(Vec<T> tag) const {
        return less(tag, splat(design_.unit * T(Middle(n_ - 1).lower + 1))) & less_equal(Vec<T>{}, tag);
    }

    // Marks the rows of some lanes' tags as known. Pairs leave the tags where their rows are, merging does not.
    void mark(unsigned which, int place, Vec<T> tag) {
        if (!by_merging_)
            work_.known[place] |= which;
        else
            for (; which != 0; which &= which - 1) {
                const int lane = __builtin_ctz(which);
                work_.known[static_cast<int>(tag[lane]) & (static_cast<int>(design_.unit) - 1)] |= 1U << lane;
            }
    }
    void collect_rows() {
        std::fill_n(work_.known, n_, 0U);
        unsigned has_low = 0, has_high = 0;
        for (int l = 0; l < lanes<T>; ++l) {
            has_low |= static_cast<unsigned>(lane_[l].below > 0) << l;
            has_high |= static_cast<unsigned>(lane_[l].above > 0) << l;
            count_[l] = 0;
        }
        for (int i = 0; i < n_; ++i) {
            mark(bits(is_below(work_.low_tag[i])) & has_low, i, work_.low_tag[i]);
            mark(bits(is_above(work_.high_tag[i])) & has_high, i, work_.high_tag[i]);
        }
        for (int i = 0; i < n_; ++i)
            for (unsigned left = ~work_.known[i] & all_lanes; left != 0; left &= left - 1) {
                const int lane = __builtin_ctz(left);
                work_.rows[lane * n_ + count_[lane]++] = i;
            }
    }

    // The value of row i that t is compared with.
    T value(Unknown unknown, const T* y, int i, T low, T high) const {
        if (unknown == Unknown::slope) return row_median(design_.gaps, y, i, low, high, work_.list);
        if (i == 0) return -y[0];
        const T inverse = design_.gaps.from(0)[i];
        return T(i) * row_median(design_.gaps, y, i, (y[i] + low) * inverse, (y[i] + high) * inverse, work_.list) -
               y[i];
    }

    T finish(Unknown unknown, int l) const {
        const T* y = work_.columns + l * (n_ + lanes<T>);
        const Lane& lane = lane_[l];
        const int lower = Middle(n_).lower - lane.below, upper = Middle(n_).upper - lane.below;
        if (lower < 0 || upper >= count_[l]) return finish_all(unknown, y);
        for (int k = 0; k < count_[l]; ++k)
            work_.values[k] = value(unknown, y, work_.rows[l * n_ + k], lane.low, lane.high);
        const T found = mean_of_ranks(work_.values, count_[l], lower, upper);
        return std::abs(found) < std::numeric_limits<T>::infinity() ? found : finish_all(unknown, y);
    }
    T finish_all(Unknown unknown, const T* y) const {
        constexpr T infinity = std::numeric_limits<T>::infinity();
        for (int i = 0; i < n_; ++i) work_.values[i] = value(unknown, y, i, -infinity, infinity);
        return mean_of_ranks(work_.values, n_, Middle(n_).lower, Middle(n_).upper);
    }

    static constexpr unsigned all_lanes = (1U << lanes<T>)-1;

    const Design<T>& design_;
    const bool by_merging_;
    const Vec<T>* y_;
    const DualWork<T>& work_;
    const int n_;
    unsigned settled_ = 0;
    Vec<T> majority_{};
    Lane lane_[lanes<T>];
    int count_[lanes<T>];
};

}  // namespace ra::RA_ISA

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

#include "base/arena.hpp"
#include "line/bracket.hpp"
#include "line/count.hpp"
#include "line/finish.hpp"
#include "line/marks.hpp"
#include "line/slopes.hpp"

namespace ra::RA_ISA {

template <class T>
struct DualWork {
    Vec<T>*z, *tag, *pairs_tag;           // a trial
    Vec<T>*low_tag, *high_tag;            // the trials at the ends of each lane's bracket
    Vec<T>*sample_y, *sample_s, *sample;  // of the thinned column
    bool* known;                          // of each lane, for each row: it is below or above the bracket
    std::uint16_t* doubtful;              // of each place in a trial's order: the lanes of doubtful counts
    int* rows;                            // of each lane: the others
    T* columns;
    FinishWork<T> finish;

    DualWork(Arena& arena, std::size_t n)
        : z(arena.take<Vec<T>>(n + MergeSort<T, Counts::in_word>::spare)),
          tag(arena.take<Vec<T>>(n)),
          pairs_tag(arena.take<Vec<T>>(n)),
          low_tag(arena.take<Vec<T>>(n)),
          high_tag(arena.take<Vec<T>>(n)),
          sample_y(arena.take<Vec<T>>(Thinning::most)),
          sample_s(arena.take<Vec<T>>(Thinning::most)),
          sample(arena.take<Vec<T>>(Thinning::most)),
          known(arena.take<bool>(Marks<T>::bytes(n))),
          doubtful(arena.take<std::uint16_t>(n)),
          rows(arena.take<int>(n * lanes<T>)),
          columns(arena.take<T>((n + lanes<T>)*lanes<T>)),
          finish(arena, n) {}
};

template <class T>
class Dual {
  public:
    Dual(const Design<T>& design, bool by_merging, const Vec<T>* y, const DualWork<T>& work)
        : design_(design), by_merging_(by_merging), y_(y), work_(work), n_(design.n), halves_(n_, design.unit) {
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

    struct Quarters {
        Vec<T> narrower, wider;
    };
    static Quarters quarters(const Vec<T>* sorted, int count, int below, int above) {
        const int quarter = count / 4;
        const Vec<T> low = sorted[below] - sorted[below - quarter], high = sorted[above + quarter] - sorted[above];
        return {min(low, high) * T(2), max(low, high) * T(2)};
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
        // where the rows do not; the values then give the scale.
        const Vec<T> spread = quarters(work_.sample, size, size / 2 - 1, size / 2).narrower;
        const Vec<T> part = splat(unknown == Unknown::slope ? T(1) / T(n_) : T(1));
        const Quarters beside = quarters(y_, n_, n_ / 2, n_ / 2);
        const Vec<T> values = choose(less(Vec<T>{}, beside.narrower), beside.narrower, beside.wider);
        const Vec<T> least = values * part;
        near_ = scale_of_z(unknown, guess, values * (unknown == Unknown::slope ? T(0.03) : T(0.03) / T(n_)));
        order_by(by_merging_ ? &design_.words : nullptr);
        // So far out few rows lie, and most of their slopes are not to each other.
        const Vec<T> reach = y_[n_ - 1 - n_ / 8] - y_[n_ / 8];
        const T roundings = unknown == Unknown::slope ? T(16) : T(64);
        const Vec<T> noise = (reach * part + abs(guess)) * (roundings * std::numeric_limits<T>::epsilon());
        for (int l = 0; l < lanes<T>; ++l) {
            const T least_spread = std::max(spread[l], std::numeric_limits<T>::min());
            const T narrowest = std::max(least_spread, least[l] / 16) / 1024;
            lane_[l] = Lane(n_, guess[l], std::max(least_spread, least[l] / 256), narrowest, noise[l]);
            if (settled(l)) lane_[l].settle();
        }
    }

    // What a trial orders row i by: in all lanes, or in one. `first` is y_0.
    template <class V>
    V z_of(Unknown unknown, V first, V own, V t, int i) const {
        if (unknown == Unknown::slope) return own - t * T(i);
        if (i > 0) return (own + t) * design_.gaps.from(0)[i];
        const V end = V{} + std::numeric_limits<T>::max() / 4;
        return -first < t ? end : -end;
    }
    Vec<T> z_of(Unknown unknown, Vec<T> t, int i) const { return z_of(unknown, y_[0], y_[i], t, i); }

    // What half of a sample's z are no farther from their centre than.
    Vec<T> scale_of_z(Unknown unknown, Vec<T> t, Vec<T> otherwise) const {
        const Thinning& thin = design_.thinning;
        const Vec<T> centre = z_of(unknown, t, n_ / 2);
        for (int k = 0; k < thin.size; ++k)
            work_.sample[k] = abs(z_of(unknown, t, thin.first + k * thin.step) - centre);
        const Vec<T> scale = median<T>(work_.sample, thin.size);
        return max(choose(less(Vec<T>{}, scale), scale, otherwise), splat(std::numeric_limits<T>::min()));
    }

    void order_by(const Words<T>* words) {
        words_ = words;
        if (words != nullptr) keys_ = Keys<T>(*words, near_, y_[n_ - 1] - y_[0]);
    }
    Tally<T> count_by_merging(Unknown unknown, Vec<T> t) const {
        const Vec<T> centre = z_of(unknown, t, n_ / 2);
        for (int i = 0; i < n_; ++i) work_.z[i] = words_->word(keys_(z_of(unknown, t, i) - centre), i);
        const MergeCount<T> count(work_.z, work_.tag, work_.doubtful, n_, *words_, design_.units(), halves_);
        return count([&](int i, int lane) {
            const T* y = work_.columns + lane * (n_ + lanes<T>);
            return z_of<T>(unknown, y[0], y[i], t[lane], i);
        });
    }
    Tally<T> count_all_pairs(Unknown unknown, Vec<T> t) const {
        for (int i = 0; i < n_; ++i) work_.z[i] = z_of(unknown, t, i);
        count_pairs(work_.z, work_.pairs_tag, n_, design_.unit);
        Tally<T> tally{};
        for (int i = 0; i < n_; ++i) tally.add(halves_, work_.pairs_tag[i]);
        return tally;
    }
    // Leaves the tags of the lanes that are `active`, and their tally.
    Tally<T> trial(Unknown unknown, Vec<T> t, Mask<T> active) {
        Tally<T> tally{{}, {}, active};
        if (words_ != nullptr) tally = count_by_merging(unknown, t);
        if (words_ == &design_.words && any(tally.unclear & active)) {
            // Until the end of the search, for the next trials will hardly be different.
            order_by(n_ <= cheap_pairs ? nullptr : &design_.finer_words);
            if (words_ != nullptr) tally = count_by_merging(unknown, t);
        }
        // Far outliers round to the same z in great number: pairs do not mind.
        const Mask<T> unclear = tally.unclear & active;
        if (!any(unclear)) return tally;
        const Tally<T> pairs = count_all_pairs(unknown, t);
        for (int i = 0; i < n_; ++i) work_.tag[i] = choose(unclear, work_.pairs_tag[i], work_.tag[i]);
        tally.below = choose(unclear, pairs.below, tally.below);
        tally.above = choose(unclear, pairs.above, tally.above);
        return tally;
    }

    // One more trial in every lane that needs one.
    void narrow(Unknown unknown) {
        Vec<T> t, done;
        for (int l = 0; l < lanes<T>; ++l) t[l] = lane_[l].next, done[l] = lane_[l].done() ? T(1) : T(0);
        const Tally<T> tally = trial(unknown, t, equal(done, Vec<T>{}));
        Vec<T> low{}, high{};
        for (int l = 0; l < lanes<T>; ++l) {
            if (lane_[l].done()) continue;
            const auto side = lane_[l].narrow(static_cast<int>(tally.below[l]), static_cast<int>(tally.above[l]));
            low[l] = side == Lane::Side::low ? T(1) : T(0);
            high[l] = side == Lane::Side::high ? T(1) : T(0);
        }
        const Mask<T> to_low = less(Vec<T>{}, low), to_high = less(Vec<T>{}, high);
        for (int i = 0; i < n_; ++i) {
            work_.low_tag[i] = choose(to_low, work_.tag[i], work_.low_tag[i]);
            work_.high_tag[i] = choose(to_high, work_.tag[i], work_.high_tag[i]);
        }
    }

    void collect_rows() {
        Vec<T> below, above;
        for (int l = 0; l < lanes<T>; ++l) below[l] = T(lane_[l].below), above[l] = T(lane_[l].above);
        const Mask<T> has_low = less(Vec<T>{}, below), has_high = less(Vec<T>{}, above);
        const Marks<T> known(work_.known, n_, design_.unit);
        for (int i = 0; i < n_; ++i) {
            known.mark(halves_.is_below(work_.low_tag[i]) & has_low, work_.low_tag[i]);
            known.mark(halves_.is_above(work_.high_tag[i]) & has_high, work_.high_tag[i]);
        }
        for (int l = 0; l < lanes<T>; ++l) count_[l] = known.list_others(l, work_.rows + l * n_);
    }

    // Rows may have been misplaced, by rounding, if what is found lies near an end or outside: then all are looked at.
    T finish(Unknown unknown, int l) const {
        constexpr T infinity = std::numeric_limits<T>::infinity();
        const RowValues<T> values(unknown, design_.gaps, work_.columns + l * (n_ + lanes<T>), work_.finish);
        const Lane& lane = lane_[l];
        const Middle middle(n_);
        int* rows = work_.rows + l * n_;
        const int lower = middle.lower - lane.below, upper = middle.upper - lane.below;
        if (0 <= lower && upper < count_[l] && count_[l] < n_) {
            const T found = values.mean_of_ranks(rows, count_[l], lower, upper, lane.low, lane.high);
            if (lane.clears(found)) return found;
        }
        for (int i = 0; i < n_; ++i) rows[i] = i;
        return values.mean_of_ranks(rows, n_, middle.lower, middle.upper, -infinity, infinity);
    }

    static constexpr int cheap_pairs = 128;  // up to so many rows, pairs take no longer than two merges
    static constexpr unsigned all_lanes = (1U << lanes<T>)-1;

    const Design<T>& design_;
    const bool by_merging_;
    const Vec<T>* y_;
    const DualWork<T>& work_;
    const int n_;
    unsigned settled_ = 0;
    Vec<T> majority_{};
    Lane lane_[lanes<T>];
    const Halves<T> halves_;
    const Words<T>* words_ = nullptr;  // none: trials count pairs
    Keys<T> keys_;
    Vec<T> near_{};
    int count_[lanes<T>];
};

}  // namespace ra::RA_ISA

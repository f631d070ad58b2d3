// A filter before the exact rule, for doubles of up to 64 clients: steps 2 to 8 in floats, twice as many lanes at a
// time, with a bound on all that rounding can do. What comes out the same anywhere within the bound is decided; a
// column with a value too near the threshold, one in a few hundred, is left to the exact rule. See filter.hpp, which
// does so in 16 bits for fewer clients.
//
// Units: a power of two near each column's range, which becomes 1 ... 2; values are seen from the middle of the range.
#pragma once

#include "detect/judge.hpp"

namespace ra::RA_ISA {

// Two neighbouring vectors of columns. Where a number has a bit for each lane, those of the second follow the first's.
struct Pair {
    InMemory<double> half[2];

    static unsigned lanes_of(unsigned both, int half) {
        return (both >> (half * lanes<double>)) % (1U << lanes<double>);
    }
};

struct FloatFilterWork {
    Vec<float>* own;  // the values by client
    Judged<float> judged;
    JudgeWork<float> judge;
    Vec<double>* sorted;

    FloatFilterWork(Arena& arena, std::size_t n)
        : own(arena.take<Vec<float>>(n)), judged(arena, n), judge(arena, n), sorted(arena.take<Vec<double>>(n)) {}
};

class FloatFilter {
  public:
    static constexpr int most = 2 * straight_line;  // clients: more are fitted by counting, where floats gain less

    FloatFilter(std::size_t n, const Confidence& confidence, double threshold)
        : judge_(n, confidence, threshold),
          floor_(confidence.scale_floor),
          error_(static_cast<float>(1.01 * rounding * residual_error(static_cast<double>(n), confidence.intercept))) {}

    // Whether the parameters leave room for floats: the first rank's width is the least, and the floor is cut off at
    // 1e30.
    bool usable() const { return judge_.widths.width[0] > 1e-9F; }

    // Judges columns that have been rescaled. Returns a bit for each lane that is left to the exact rule; of the
    // others, those in which client i's value is rejected are set in work.judge.words[i].
    unsigned judge(const Pair& pair, FloatFilterWork& work) const {
        const int n = judge_.design.n;
        const Vec<float>*sorted = work.judged.sorted, *size = work.judge.residuals.size;
        Mask<float>* accepted = work.judged.accepted;
        const Vec<float> floor = narrow(pair, work.own);
        std::copy_n(work.own, n, work.judged.sorted);
        sort<float>(work.judged.sorted, n);
        Columns<float> columns(work.judged.sorted, work.judged.sorted);
        columns.scale = Vec<float>{};
        const Line<float> line = fit_line(judge_.design, sorted, judge_.intercept, work.judge.line);
        work.judge.residuals.measure(columns, line, judge_.widths, n);

        constexpr auto relative = static_cast<float>(8 * rounding);
        const Vec<float> slack = splat(error_ * judge_.widths.deviation), error = splat(error_),
                         tau = work.judge.residuals.tau + floor;
        const Vec<float> near = tau * (1 - relative) - slack, far = tau * (1 + relative) + slack;
        Mask<float> unsure = less(tau, tau), rejected = unsure;
        for (int i = 0; i < n; ++i) {
            const float width = judge_.widths.width[i];
            const Mask<float> is_far = less(far * width, size[i] - error);
            unsure = unsure | ~(is_far | less_equal(size[i] + error, near * width));
            rejected = rejected | is_far;
            accepted[i] = ~is_far;
        }
        std::fill_n(work.judge.words, n, 0);
        if (!any(rejected)) return bits(unsure);
        const unsigned left = bits(unsure) | merged(pair, ~bits(unsure), work);
        judge_.mark({reinterpret_cast<float*>(work.own), lanes<float>}, n, work.judged, 0, work.judge);
        return left;
    }

  private:
    static constexpr double rounding = 0x1p-24;  // the largest relative error of one operation

    // How far a residual may be off, in roundings of 1. Half of a row's slopes are over a quarter of the ranks or more,
    // so that no line rises by more than four ranges, 8. Values are off by half a rounding. A slope is off by two of
    // them where its values are neighbours, and by up to five roundings of its own, of a reciprocal, a difference, a
    // product and two means. What is multiplied, subtracted or averaged later is at most 18, and rounded each time.
    static double residual_error(double n, Intercept intercept) {
        constexpr double value = 0.5, steepest = 8, product = steepest, largest = 1 + 2 * steepest + 1;
        const double over_all_ranks = 2 * value * (n - 1) + 5 * steepest;
        const bool centred = intercept == Intercept::median_point;
        const double origin = value + (centred ? over_all_ranks / 2 : over_all_ranks) + product + largest;
        return value + origin + over_all_ranks + product + 3 * largest;
    }

    // The values in units; returns the floor of the residuals' scale in them. Columns whose unit is no number become 0,
    // for which nothing is sure.
    Vec<float> narrow(const Pair& pair, Vec<float>* own) const {
        Vec<double> scale[2], centre[2], floor[2];
        for (int h = 0; h < 2; ++h) {
            const Extremes<double> extremes = find_extremes<double>(pair.half[h], judge_.design.n);
            const Vec<double> range = extremes.high - extremes.low, unit = Unit(extremes.low, extremes.high).scale / 4;
            scale[h] = choose(less(splat(1e-290), range) & less(range, splat(1e290)), unit, Vec<double>{});
            centre[h] = extremes.low * scale[h] * 0.5 + extremes.high * scale[h] * 0.5;
            floor[h] = min(splat(1e30), scale[h] * floor_);
        }
        for (int i = 0; i < judge_.design.n; ++i)
            own[i] = joined(pair.half[0].get(i) * scale[0] - centre[0], pair.half[1].get(i) * scale[1] - centre[1]);
        return joined(floor[0], floor[1]);
    }

    // Of these lanes, the columns in which only some of equal values are accepted, and values that differ have become
    // equal.
    unsigned merged(const Pair& pair, unsigned of, FloatFilterWork& work) const {
        const int n = judge_.design.n;
        const Vec<float>* sorted = work.judged.sorted;
        unsigned equals[most], some = 0;
        for (int i = 1; i < n; ++i) {
            equals[i] = bits(equal(sorted[i - 1], sorted[i]));
            some |= equals[i] & bits(work.judged.accepted[i - 1] ^ work.judged.accepted[i]) & of;
        }
        unsigned found = 0;
        for (int h = 0; h < 2 && some != 0; ++h) {
            for (int i = 0; i < n; ++i) work.sorted[i] = pair.half[h].get(i);
            sort<double>(work.sorted, n);
            for (int i = 1; i < n; ++i)
                found |= (Pair::lanes_of(equals[i], h) & ~bits(equal(work.sorted[i - 1], work.sorted[i])))
                         << (h * lanes<double>);
        }
        return found & some;
    }

    const Judge<float> judge_;
    const double floor_;
    const float error_;  // of a residual
};

}  // namespace ra::RA_ISA

// A filter before the exact rule, for 6 to 12 clients: steps 3 to 8 in 16-bit whole numbers, twice as many lanes at a
// time as floats have, with a bound on all that rounding can do. What comes out the same anywhere within the bound is
// decided; columns with a value too near the threshold, one in a hundred, are left to the exact rule. So what the
// filter decides is what the exact rule would. Source: filters before exact predicates, Fortune and Van Wyk (1993).
//
// Units: a column's range becomes 0 ... 32766. Half of a row's slopes are at least as steep as its median, one of them
// over a quarter of the n - 1 ranks, or over two; so slopes in halves of a unit fit wherever a median depends on them
// (the steepest, of neighbours, may be cut off), and no line rises by more than twice the range from its middle.
// Residuals and lines are in units of 2^shift.
#pragma once

#include "base/shorts.hpp"
#include "detect/decide.hpp"

namespace ra::RA_ISA {

// What depends on a column's range: how values become whole numbers, and what is added to gain * median |r| for the
// residuals, over their widths, that are near the line for sure, and that are not far from it for sure.
template <class T>
struct Limits {
    Vec<T> scale, near, far;
};

template <class T>
class Filter {
  public:
    static constexpr int fewest = 6, most = 12;

    // What sift found in lanes<Short> columns.
    struct Sifted {
        Shorts low, high;            // of the accepted values
        Mask<Short> unsure;          // columns that the exact rule must judge
        Mask<Short> level;           // columns with neither slope nor residuals: most values may be equal
        Mask<Short> accepted[most];  // by rank
        bool all;                    // all ranks of all columns are accepted; the rest is undefined then
    };

    Filter(int n, Intercept intercept, const Widths<T>& widths) : intercept_(intercept) {
        const T least = *std::min_element(widths.width, widths.width + n);
        for (int i = 0; i < n && least > 0; ++i)
            share_[i] = static_cast<Short>(std::lround(32767 * static_cast<double>(least / widths.width[i])));
        gain_ = least * widths.deviation;
        floor_ = least * widths.floor;
        const double error = residual_error(n, intercept), of_share = 0.5 + 1.5, of_float = 0.1, cut_off = 1;
        doubt_ = gain_ * static_cast<T>(error + 0.5) + static_cast<T>(error + of_share + of_float + cut_off);
        negligible_ = floor_ / static_cast<T>(4 * n);
    }

    // Whether the parameters leave room for whole numbers.
    bool usable() const { return gain_ > 0 && gain_ < T(30000); }

    Limits<T> limits_of(Vec<T> range) const {
        using Numbers = std::numeric_limits<T>;
        const Mask<T> fits = less(splat(Numbers::min() * T(1 << 30)), range) & less(range, splat(Numbers::infinity()));
        const Vec<T> scale = choose(fits, T(32766) / range, Vec<T>{}), beyond = splat(T(1 << 30)),
                     floor = min(scale * (floor_ / T(1 << shift)), beyond),
                     all_near = choose(less_equal(range, splat(negligible_)), beyond, -beyond);
        return {scale, choose(fits, floor - doubt_, all_near), choose(fits, floor + doubt_, beyond)};
    }

    // y[i]: the values of client i, (value - least) * scale. meanwhile(i) is called n times on the way.
    template <int n, class Meanwhile>
    Sifted sift(const Limits<T>* limits, const Shorts* y, Few<n> count, const Meanwhile& meanwhile) const {
        Shorts q[n], s[n], size[n], work[n];
        unroll<n>([&](auto i) { q[i] = y[i]; });
        run_network<n, 0, n>(q);
        unroll<n>([&](auto i) {
            meanwhile(i);
            work[i] = s[i] = row_median<i>(q, count);
        });
        const Shorts slope = middle_of(work, count);
        unroll<n>([&](auto i) { work[i] = size[i] = in_residual_units(q[i]) - rise<2 * i - (n - 1)>(slope); });
        const Shorts origin = origin_of(q, s, slope, work, count);
        unroll<n>([&](auto i) {
            const Shorts r = size[i] - origin;
            work[i] = size[i] = max(r, -r);
        });
        const Shorts middle = middle_of(work, count);
        Vec<T> near[parts<T>], far[parts<T>];
        widen_shorts<T>(middle, near);
        unroll<parts<T>>([&](auto p) {
            const Vec<T> reach = near[p] * gain_;
            near[p] = reach + limits[p].near;
            far[p] = reach + limits[p].far;
        });
        Sifted found = decide(q, size, narrowed<T>(near), narrowed<T>(far), count);
        found.level = less(slope | middle, splat(Short(1)));
        return found;
    }

  private:
    static constexpr int shift = 3;

    // How far a residual may be off, in its units. Values are cut off, then rounded to these units. A slope in halves
    // is off by twice two values' errors if they are neighbours, by less over more ranks though it is rounded there,
    // and the mean of two slopes is rounded.
    static double residual_error(int n, Intercept intercept) {
        constexpr double unit = 1 << shift, cut_off = 0.51, rounded = 0.5;
        const double value = cut_off / unit + rounded, slope = 4 * cut_off + rounded,
                     over_all_ranks = slope * (n - 1) / (2 * unit), to_centre = over_all_ranks / 2 + rounded;
        double origin = value + rounded;
        if (intercept == Intercept::hierarchical) origin += to_centre;
        if (intercept == Intercept::separate) origin += over_all_ranks + rounded + to_centre;
        return value + to_centre + origin;
    }

    template <int gap>
    static Shorts slope_over(Shorts difference) {
        if constexpr (gap == 1) return doubled(difference);
        if constexpr (gap == 2) return difference;
        return scaled(difference, Short((65536 + gap / 2) / gap));
    }
    template <int i, int n>
    static Shorts row_median(const Shorts* q, Few<n>) {
        Shorts v[n - 1];
        unroll<i>([&](auto j) { v[j] = slope_over<i - j>(q[i] - q[j]); });
        unroll<n - 1 - i>([&](auto k) { v[i + k] = slope_over<1 + k>(q[i + 1 + k] - q[i]); });
        return middle_of(v, Few<n - 1>{});
    }
    template <int n>
    static Shorts middle_of(Shorts* v, Few<n>) {
        order_middle<n>(v);
        return n % 2 != 0 ? v[n / 2] : halfway(v[n / 2 - 1], v[n / 2]);
    }
    static Shorts in_residual_units(Shorts q) { return scaled(q, Short(1 << (15 - shift))); }
    // What a line of this slope gains over half_ranks / 2 ranks.
    template <int half_ranks>
    static Shorts rise(Shorts slope) {
        return scaled(slope, Short(half_ranks * (1 << (13 - shift))));
    }

    // The line's value at the middle rank. level: values less the line's rise from there; left undefined.
    template <int n>
    Shorts origin_of(const Shorts* q, const Shorts* s, Shorts slope, Shorts* level, Few<n> count) const {
        if (intercept_ == Intercept::median_point) return in_residual_units(halfway(q[(n - 1) / 2], q[n / 2]));
        if (intercept_ == Intercept::hierarchical) return middle_of(level, count);
        unroll<n>([&](auto i) { level[i] = in_residual_units(q[i]) - rise<2 * i>(s[i]); });
        return middle_of(level, count) + rise<n - 1>(slope);
    }

    // Residuals of at most `near` are accepted, of more than `far` rejected.
    template <int n>
    Sifted decide(const Shorts* q, Shorts* size, Shorts near, Shorts far, Few<n>) const {
        unroll<n>([&](auto i) { size[i] = scaled(size[i], share_[i]); });
        Shorts largest = size[0];
        unroll<n - 1>([&](auto i) { largest = max(largest, size[i + 1]); });
        Sifted found;
        found.all = !any(less(near, largest));
        if (found.all) return found;
        // One comparison tells whether a size lies between: that of size - near - 1 and far - near without their signs.
        constexpr Short sign = -32768;
        const Shorts above = wrapped_sum(near, splat(Short(sign + 1)));
        Shorts least = wrapped_difference(size[0], above);
        unroll<n - 1>([&](auto i) { least = min(least, wrapped_difference(size[i + 1], above)); });
        found.unsure = less(least, wrapped_difference(far, wrapped_sum(near, splat(sign)))) | less(near, Shorts{});
        found.low = splat(Short(32767));
        found.high = splat(Short(-1));
        unroll<n>([&](auto i) {
            found.accepted[i] = less_equal(size[i], far);
            found.high = choose(found.accepted[i], q[i], found.high);
        });
        unroll<n>([&](auto k) {
            constexpr int i = n - 1 - k;
            found.low = choose(found.accepted[i], q[i], found.low);
        });
        return found;
    }

    const Intercept intercept_;
    T gain_, floor_, doubt_, negligible_;
    Short share_[most];  // of each rank's width: the least width / it
};

}  // namespace ra::RA_ISA

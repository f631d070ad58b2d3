// The median slope of each rank of a sorted column of many values: it is looked for near that of the rank before. The
// slopes below and above a window are counted, and the few inside brought in order.
#pragma once

#include "cuda/order.cuh"

constexpr int most_kept = RA_KEPT;         // slopes of a window
constexpr int at_once = single ? 20 : 10;  // slopes that are computed before one is written: what a window may overrun
constexpr int reach = 11;                  // ranks that a window is to hold on either side of the median
constexpr int most_guesses = 8;            // looks at a rank before windows are halved, which ends

// Of n ranks, a step without a common factor with n: it visits all, in an order that tells little of their slopes.
RA_DEVICE constexpr int stride_of(int n) {
    for (int step = n * 5 / 8 | 1;; step += 2) {
        int a = step, b = n;
        while (b != 0) {
            const int rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1) return step % n;
    }
}

// What the windows of a block's threads keep, side by side in its memory.
RA_SHARED Compute kept_beside[(most_kept + at_once) * RA_THREADS];
static_assert(sizeof kept_beside + sizeof gaps_beside <= 48 * 1024, "what a block may share");

// A number between two that is as far from both, counted in numbers, or the upper one.
RA_DEVICE Compute between(Compute low, Compute high) {
    return value_of(key_of(high) - (key_of(high) - key_of(low)) / 2);
}

// The next number below.
RA_DEVICE Compute below(Compute x) { return number_of(x > 0 ? bits_of(x) - 1 : x < 0 ? bits_of(x) + 1 : sign_bit + 1); }

// The slopes of a rank to all: none is negative, and that to itself, zero, counts as the least.
struct Slopes {
    const Compute *z, *gaps;
    int n, step, rank;

    RA_DEVICE Compute to(int j) const { return (z[j] - z[rank]) * gaps[n - 1 + j - rank]; }

    // The mean of the greatest up to a number and the least above it.
    RA_DEVICE Compute around(Compute edge) const {
        Compute under = 0, above = static_cast<Compute>(largest);
        RA_ROLLED
        for (int j = 0; j < n; ++j) {
            const Compute slope = to(j);
            under = slope > edge ? under : upper(under, slope);
            above = slope > edge ? lower(above, slope) : above;
        }
        return halfway(under, above);
    }
};

// Numbers above `low`, up to `high`, and the slopes there.
struct Window {
    Compute low, high;
    int under, inside;  // how many slopes are below it, and in it

    // Of the latter, the first that were met.
    RA_DEVICE Compute& operator[](int place) const { return kept_beside[place * RA_THREADS + own_thread()]; }

    // What is read waits for what was written before it, so all reading for some slopes comes first; and all are
    // written, one over the other where they are outside.
    RA_DEVICE void look(const Slopes& slopes) {
        const Compute own = slopes.z[slopes.rank], *const gap = slopes.gaps + slopes.n - 1 - slopes.rank;
        constexpr int step = RA_THREADS * sizeof(Compute);
        const int begin = own_thread() * sizeof(Compute), end = begin + most_kept * step;
        int place = begin, overrun = 0;  // in bytes: an index would be multiplied at each turn
        Compute above = 0;
        RA_UNROLL_FEW
        for (int k = 0, j = 0; k < slopes.n; k += at_once) {
            Compute slope[at_once];
            RA_UNROLL
            for (int e = 0; e < at_once; ++e) {
                if (k + e >= slopes.n) continue;
                slope[e] = (slopes.z[j] - own) * gap[j];
                j = j + slopes.step < slopes.n ? j + slopes.step : j + slopes.step - slopes.n;
            }
            RA_UNROLL
            for (int e = 0; e < at_once; ++e) {
                if (k + e >= slopes.n) continue;
                const bool more = slope[e] > high;
                if (more) above += 1;
                *reinterpret_cast<Compute*>(reinterpret_cast<char*>(kept_beside) + place) = slope[e];
                place += slope[e] > low && !more ? step : 0;
            }
            const int over = place > end ? place - end : 0;
            overrun += over;
            place -= over;
        }
        inside = (place - begin + overrun) / step;
        under = slopes.n - static_cast<int>(above) - inside;
    }

    // Bring those that are kept in order.
    RA_DEVICE void arrange() {
        Compute v[most_kept];
        RA_UNROLL
        for (int k = 0; k < most_kept; ++k) v[k] = k < inside ? (*this)[k] : static_cast<Compute>(largest);
        RA_SORTING_KEPT(RA_EXCHANGE)
        RA_UNROLL
        for (int k = 0; k < most_kept; ++k) (*this)[k] = v[k];
    }

    RA_DEVICE bool is_one_number() const { return !(low < below(high)); }

    // A window between two numbers, or of the second alone if nothing is between them.
    RA_DEVICE void move(Compute after, Compute last) {
        low = after < last ? after : below(last);
        high = last;
    }
};

// For the median of a rank's slopes: the window where it is looked for next, and what is known of it.
struct Search {
    Window window;
    Compute after, last;  // it is above the one, and not above the other
    int looks;

    static constexpr Compute nothing = -1, everything = static_cast<Compute>(largest);

    RA_DEVICE void begin() {
        after = nothing;
        last = everything;
        looks = 0;
        window.move(after, last);
    }

    // After a look: whether the median is found. The window has moved: to where that of the next rank may be, if so.
    // What most looks come to is chosen between without a branch, which would be gone through by all threads of a warp.
    RA_DEVICE bool ends(const Slopes& slopes, Compute& median) {
        const int n = slopes.n, first = n / 2, second = (n + 1) / 2;  // the middle ones of n - 1, after the least
        const int under = window.under, beyond = under + window.inside;
        const bool is_below = second < under, is_above = first >= beyond;
        bool found = !is_below && !is_above;
        const int some = window.inside < 1 ? 1 : window.inside < n ? window.inside : n - 1;
        const Compute inverse = slopes.gaps[n - 1 + some], apart = (window.high - window.low) * inverse;
        ++looks;
        Compute low, high;
        median = halfway(window[kept_place(first - under)], window[kept_place(second - under)]);
        if (found && (window.inside > most_kept || first < under || second >= beyond)) {
            found = settles(slopes, first, second, inverse, median);
            low = window.low;
            high = window.high;
        } else {
            // The median is some ranks below the window, or above: first it is guessed how far, then all is looked at.
            const int ranks = is_below ? under - second : first - beyond + 1;
            const Compute next = Compute(ranks + reach) * apart;
            after = is_above ? window.high : after;
            last = is_below ? window.low : last;
            low = is_below && looks == 1 ? upper(after, last - next) : after;
            high = is_above && looks == 1 ? lower(last, after + next) : last;
        }
        if (looks >= most_guesses) {
            low = after;
            high = between(after, last);
        }
        const Compute around = reach * apart;
        after = found ? nothing : after;
        last = found ? everything : last;
        looks = found ? 0 : looks;
        window.move(found ? upper(nothing, median - around) : low, found ? lower(everything, median + around) : high);
        return found;
    }

    RA_DEVICE int kept_place(int rank) const { return rank < 0 ? 0 : rank < most_kept ? rank : most_kept - 1; }

    // It is in the window or beside it, with more slopes than are kept, or half of it beyond an end. Else those that
    // are kept tell where it may be.
    RA_DEVICE bool settles(const Slopes& slopes, int first, int second, Compute inverse, Compute& median) {
        if (first < window.under || second >= window.under + window.inside) {
            median = slopes.around(first < window.under ? window.low : window.high);
            return true;
        }
        median = window.high;
        if (window.is_one_number()) return true;
        constexpr int wide = most_kept * reach / 64;
        after = window.low;
        last = window.high;
        const int place = static_cast<int>(Compute((first - window.under) * most_kept) * inverse);
        const Compute low = place < wide ? after : window[place - wide];
        const Compute high = place + wide + 1 < most_kept ? window[place + wide + 1] : last;
        window.move(low == after && high == last ? last : low, high);
        return false;
    }
};

RA_DEVICE void median_slopes(const Compute* z, int n, const Compute* gaps, Compute* medians) {
#if defined(RA_FEW)
    constexpr int step = stride_of(RA_FEW);
#else
    const int step = stride_of(n);
#endif
    Slopes slopes = {z, gaps, n, step, 0};
    Search search;
    search.begin();
    if (!all_finite(z, n)) return;  // their order would tell nothing, and no window have an end
    RA_ROLLED
    while (slopes.rank < n) {  // a look at a rank's slopes by each turn, at other ranks by other threads
        search.window.look(slopes);
        search.window.arrange();
        Compute median;
        if (search.ends(slopes, median)) medians[slopes.rank++] = median;
    }
}

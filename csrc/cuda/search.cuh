// The median slope of each rank of a sorted column of many values: it is looked for near that of the rank before. The
// slopes below and above a window are counted, and the few inside brought in order.
#pragma once

#include "cuda/order.cuh"

constexpr int most_kept = RA_KEPT, at_once = 8;  // slopes of a window; and steps between which it may be overrun
constexpr int reach = 11;                        // ranks that a window is to hold on either side of the median
constexpr int most_guesses = 8;                  // looks at a rank before windows are halved, which ends

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

// In the block's own memory: the table of gaps, if it is not large, because neighbouring threads look at distant places
// of it; and what the windows of its threads keep, side by side.
constexpr bool gaps_fit = capacity * sizeof(Compute) <= 2048;
RA_SHARED Compute gaps_beside[gaps_fit ? 2 * capacity : 1];
RA_SHARED Compute kept_beside[(most_kept + at_once) * RA_THREADS];

RA_DEVICE const Compute* beside(const Compute* gaps, int n) {
    if (!gaps_fit) return gaps;
    RA_TOGETHER(k, 2 * n - 1) gaps_beside[k] = gaps[k];
    RA_BARRIER;
    return gaps_beside;
}

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

    RA_DEVICE void look(const Slopes& slopes) {
        const Compute own = slopes.z[slopes.rank], *const gap = slopes.gaps + slopes.n - 1 - slopes.rank;
        constexpr int step = RA_THREADS * sizeof(Compute), end = most_kept * step;
        char* const kept = reinterpret_cast<char*>(kept_beside + own_thread());
        int place = 0, overrun = 0;  // in bytes: an index would be multiplied at each turn
        Compute above = 0;
        RA_UNROLL_FEW
        for (int k = 0, j = 0; k < slopes.n; ++k) {
            const Compute slope = (slopes.z[j] - own) * gap[j];
            const bool more = slope > high;
            if (more) above += 1;
            if (slope > low && !more) {
                *reinterpret_cast<Compute*>(kept + place) = slope;
                place += step;
            }
            if (k % at_once == at_once - 1) {
                const int over = place > end ? place - end : 0;
                overrun += over;
                place -= over;
            }
            j = j + slopes.step < slopes.n ? j + slopes.step : j + slopes.step - slopes.n;
        }
        inside = (place + overrun) / step;
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

    RA_DEVICE void begin(Compute guess, Compute around) {
        after = -1;
        last = static_cast<Compute>(largest);
        looks = 0;
        window.move(upper(after, guess - around), lower(last, guess + around));
    }

    // After a look: whether the median is found, else the window has moved.
    RA_DEVICE bool ends(const Slopes& slopes, Compute& median) {
        const int first = slopes.n / 2, second = (slopes.n + 1) / 2;  // the middle ones of n - 1, after the least
        const int under = window.under, beyond = under + window.inside;
        ++looks;
        if (second < under) {
            descend(under - second);
        } else if (first >= beyond) {
            ascend(first - beyond + 1);
        } else if (first < under || second >= beyond) {
            median = slopes.around(first < under ? window.low : window.high);
            return true;
        } else if (window.inside <= most_kept) {
            median = halfway(window[first - under], window[second - under]);
            return true;
        } else if (window.is_one_number()) {
            median = window.high;
            return true;
        } else {
            narrow(first - under);
        }
        if (looks >= most_guesses) window.move(after, between(after, last));
        return false;
    }

    // What one of the window's slopes is from the next.
    RA_DEVICE Compute apart() const {
        return (window.high - window.low) / Compute(window.inside > 1 ? window.inside : 1);
    }

    // The median is some ranks below the window, or above: first it is guessed how far, then all is looked at.
    RA_DEVICE void descend(int ranks) {
        last = window.low;
        const Compute next = last - Compute(ranks + reach) * apart();
        window.move(looks == 1 ? upper(after, next) : after, last);
    }
    RA_DEVICE void ascend(int ranks) {
        after = window.high;
        const Compute next = after + Compute(ranks + reach) * apart();
        window.move(after, looks == 1 ? lower(last, next) : last);
    }

    // It has a rank among more slopes than are kept: those tell where it may be.
    RA_DEVICE void narrow(int rank) {
        constexpr int wide = most_kept * reach / 64;
        after = window.low;
        last = window.high;
        const int place = static_cast<int>(static_cast<i64>(rank) * most_kept / window.inside);
        const Compute low = place < wide ? after : window[place - wide];
        const Compute high = place + wide + 1 < most_kept ? window[place + wide + 1] : last;
        window.move(low == after && high == last ? last : low, high);
    }
};

RA_DEVICE void median_slopes(const Compute* z, int n, const Compute* gaps, Compute* medians) {
#if defined(RA_FEW)
    constexpr int step = stride_of(RA_FEW);
#else
    const int step = stride_of(n);
#endif
    Slopes slopes = {z, gaps, n, step, 0};
    Search search = {{0, 0, 0, 0}, 0, 0, 0};
    search.begin(0, static_cast<Compute>(largest));
    if (!all_finite(z, n)) return;  // their order would tell nothing, and no window have an end
    RA_ROLLED
    while (slopes.rank < n) {  // a look at a rank's slopes by each turn, at other ranks by other threads
        search.window.look(slopes);
        search.window.arrange();
        Compute median;
        if (!search.ends(slopes, median)) continue;
        medians[slopes.rank++] = median;
        search.begin(median, reach * search.apart());
    }
}

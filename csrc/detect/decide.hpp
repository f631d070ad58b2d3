// Steps 4 to 8 of the rule on a vector of columns: from the line to a yes or no, or a confidence, for every value. n is
// an int, or Few.
#pragma once

#include "line/column.hpp"
#include "line/line.hpp"

namespace ra::RA_ISA {

// Residuals and their scale; tau is 1.4826 (1 + 5 / (n - 1)) median |r| + scale_floor.
template <class T>
struct Residuals {
    Vec<T>* size;  // |r_i|
    Vec<T>* work;
    Vec<T> tau;

    Residuals(Vec<T>* size_, Vec<T>* work_) : size(size_), work(work_) {}
    Residuals(Arena& arena, std::size_t n) : Residuals(arena.take<Vec<T>>(n), arena.take<Vec<T>>(n)) {}

    template <class N>
    void measure(const Columns<T>& columns, const Line<T>& line, const Widths<T>& widths, N n) {
        each(n, [&](auto i) { work[i] = size[i] = abs(columns.centred[i] - line.intercept - line.slope * T(int(i))); });
        tau = median<T, Signs::none>(work, n) * widths.deviation + columns.scale * widths.floor;
    }

    // accepted[i]: whether rank i is near enough to the line; widths are of the confidence interval, divided by the
    // threshold. Returns whether all ranks of all columns are.
    template <class N>
    bool accept(const Widths<T>& widths, N n, Mask<T>* accepted) const {
        Mask<T> rejected = less(tau, tau);
        each(n, [&](auto i) {
            const Mask<T> far = less(tau * widths.width[i], size[i]);
            accepted[i] = ~far;
            rejected = rejected | far;
        });
        return !any(rejected);
    }
};

// The lowest and the highest value that is accepted, and whether any between them is not.
template <class T>
struct Range {
    Vec<T> low, high;
    bool has_hole;

    template <class N>
    Range(const Vec<T>* sorted, const Mask<T>* accepted, N n)
        : low(splat(std::numeric_limits<T>::infinity())), high(-low) {
        each(n, [&](auto i) {
            high = choose(accepted[i], sorted[i], high);
            low = choose(accepted[n - 1 - i], sorted[n - 1 - i], low);
        });
        Mask<T> hole = less(low, low);
        each(n, [&](auto i) { hole = hole | (~accepted[i] & less(low, sorted[i]) & less(sorted[i], high)); });
        has_hole = any(hole);
    }
    // A bit for each lane: whether it rejects the value.
    unsigned rejects(Vec<T> value) const { return bits(less(value, low) | less(high, value)); }
};

// Any other answer, told by value, so that no client is looked up by its rank: the values at which, going up, it
// changes.
template <class T>
class Edges {
  public:
    Edges(Arena& arena, std::size_t n) : edges_(arena.take<Vec<T>>(n + 1)) {}

    __attribute__((noinline)) void find(const Vec<T>* sorted, Mask<T>* accepted, int n) {
        share_ties(sorted, accepted, n);
        int edges[lanes<T>] = {};
        unsigned before = (1U << lanes<T>)-1;
        rows_ = 0;
        for (int i = 0; i < n; ++i) {
            const unsigned now = bits(accepted[i]);
            for (unsigned changed = now ^ before; changed != 0; changed &= changed - 1) {
                const int lane = __builtin_ctz(changed), row = edges[lane]++;
                if (row == rows_) edges_[rows_++] = splat(std::numeric_limits<T>::infinity());
                edges_[row][lane] = sorted[i][lane];
            }
            before = now;
        }
    }
    unsigned rejects(Vec<T> value) const {
        if (rows_ == 0) return 0;
        Mask<T> rejected = less_equal(edges_[0], value);
        for (int k = 1; k < rows_; ++k) rejected = rejected ^ less_equal(edges_[k], value);
        return bits(rejected);
    }

  private:
    // Equal values share the best answer among their ranks; a range does so by itself.
    static void share_ties(const Vec<T>* sorted, Mask<T>* accepted, int n) {
        for (int i = n - 2; i >= 0; --i)
            accepted[i] = accepted[i] | (equal(sorted[i], sorted[i + 1]) & accepted[i + 1]);
        for (int i = 1; i < n; ++i) accepted[i] = accepted[i] | (equal(sorted[i], sorted[i - 1]) & accepted[i - 1]);
    }

    Vec<T>* edges_;
    int rows_ = 0;
};

}  // namespace ra::RA_ISA

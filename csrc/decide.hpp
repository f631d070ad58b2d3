// Steps 4 to 8 of the rule on a vector of columns: from the line to a yes or no, or a confidence, for every value.
#pragma once

#include "column.hpp"
#include "line.hpp"

namespace ra::RA_ISA {

// Residuals and their scale; tau is 1.4826 (1 + 5 / (n - 1)) median |r| + scale_floor.
template <class T>
struct Residuals {
    Vec<T>* size;  // |r_i|
    Vec<T>* work;
    Vec<T> tau;

    Residuals(Arena& arena, std::size_t n) : size(arena.take<Vec<T>>(n)), work(arena.take<Vec<T>>(n)) {}

    void measure(const Columns<T>& columns, const Line<T>& line, const Widths<T>& widths, int n) {
        for (int i = 0; i < n; ++i) work[i] = size[i] = abs(columns.centred[i] - line.intercept - line.slope * T(i));
        tau = median<T>(work, n) * widths.deviation + columns.scale * widths.floor;
    }
};

// Which values of a column are rejected, told by value: no client is looked up by its rank. Most columns accept all
// values from a lowest to a highest one; others need the list of values at which, going up, the answer changes.
template <class T>
class Rejection {
  public:
    Rejection(Arena& arena, std::size_t n) : accepted_(arena.take<Mask<T>>(n)), edges_(arena.take<Vec<T>>(n + 1)) {}

    // widths: of the confidence interval, divided by the threshold.
    void decide(const Columns<T>& columns, const Residuals<T>& residuals, const Widths<T>& widths, int n) {
        const Vec<T>* sorted = columns.sorted;
        for (int i = 0; i < n; ++i) accepted_[i] = ~less(residuals.tau * widths.width[i], residuals.size[i]);
        find_range(sorted, n);
        if (is_range_) return;
        share_ties(sorted, n);
        collect_edges(sorted, n);
    }

    // A bit for each lane: whether it rejects the value.
    unsigned rejects(Vec<T> value) const {
        if (is_range_) return bits(less(value, lowest_) | less(highest_, value));
        if (edge_rows_ == 0) return 0;
        Mask<T> rejected = less_equal(edges_[0], value);
        for (int k = 1; k < edge_rows_; ++k) rejected = rejected ^ less_equal(edges_[k], value);
        return bits(rejected);
    }

  private:
    void find_range(const Vec<T>* sorted, int n) {
        const Vec<T> infinity = splat(std::numeric_limits<T>::infinity());
        lowest_ = infinity;
        highest_ = -infinity;
        for (int i = 0; i < n; ++i) {
            lowest_ = min(choose(accepted_[i], sorted[i], infinity), lowest_);
            highest_ = choose(accepted_[i], sorted[i], highest_);
        }
        Mask<T> hole = less(infinity, infinity);
        for (int i = 0; i < n; ++i)
            hole = hole | (~accepted_[i] & less(lowest_, sorted[i]) & less(sorted[i], highest_));
        is_range_ = !any(hole);
    }

    // Equal values share the best answer among their ranks; a range does so by itself.
    void share_ties(const Vec<T>* sorted, int n) {
        for (int i = n - 2; i >= 0; --i)
            accepted_[i] = accepted_[i] | (equal(sorted[i], sorted[i + 1]) & accepted_[i + 1]);
        for (int i = 1; i < n; ++i) accepted_[i] = accepted_[i] | (equal(sorted[i], sorted[i - 1]) & accepted_[i - 1]);
    }

    void collect_edges(const Vec<T>* sorted, int n) {
        int edges[lanes<T>] = {};
        unsigned before = (1U << lanes<T>)-1;
        edge_rows_ = 0;
        for (int i = 0; i < n; ++i) {
            const unsigned now = bits(accepted_[i]);
            for (unsigned changed = now ^ before; changed != 0; changed &= changed - 1) {
                const int lane = __builtin_ctz(changed), row = edges[lane]++;
                if (row == edge_rows_) edges_[edge_rows_++] = splat(std::numeric_limits<T>::infinity());
                edges_[row][lane] = sorted[i][lane];
            }
            before = now;
        }
    }

    Mask<T>* accepted_;
    Vec<T>* edges_;
    int edge_rows_ = 0;
    bool is_range_ = true;
    Vec<T> lowest_, highest_;
};

}  // namespace ra::RA_ISA

// out[j] = median of column j; of an even count, the mean of the two middle values. Exact up to that mean, which
// cannot overflow. Few values go through a selection network, O(n log^2 n); many are counted, about O(n) a pass.
#include "order/order.hpp"
#include "order/rank.hpp"
#include "order/registers.hpp"

namespace ra::RA_ISA {

namespace {

template <class T>
Vec<T> counted_median(const Vec<T>* v, int n) {
    const Vec<T> low = value_of_rank<T>(v, n, bounds_of<T>(v, n), (n - 1) / 2);
    if (n % 2 != 0) return low;
    const Split<T> s = split_at<T>(v, n, low);
    return mean_of<T>(low, choose(less(splat(T(n / 2)), s.count), low, s.up));
}

template <class T>
struct MedianOf {
    template <int n>
    Vec<T> operator()(Vec<T>* v, Few<n>) const {
        order_middle<n>(v);
        return mean_of<T>(v[(n - 1) / 2], v[n / 2]);
    }
    static int first(int n) { return (n - 1) / 2; }
    template <class Rank>
    Vec<T> of_sorted(const Rank& rank, int n) const {
        return mean_of<T>(rank(first(n)), rank(n / 2));
    }
    Vec<T> operator()(Vec<T>* v, int n) const {
        if (n >= counting_pays) return counted_median<T>(v, n);
        select<T>(v, n, (n - 1) / 2, n / 2 + 1);
        return mean_of<T>(v[(n - 1) / 2], v[n / 2]);
    }
};

}  // namespace

bool median(const RowsView& view, Result out, int threads) {
    threads = threads_for(view, view.n < 17 ? 0.2 : 1, threads);
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        const MedianOf<C> median;
        return rows.n <= in_registers ? reduce_in_registers(rows, out, threads, median)
                                      : reduce_columns(rows, out, threads, median);
    });
}

}  // namespace ra::RA_ISA

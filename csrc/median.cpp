// out[j] = median of column j; of an even count, the mean of the two middle values. Exact up to that mean, which
// cannot overflow. Few values go through a selection network, O(n log^2 n); many are counted, about O(n) a pass.
#include "order.hpp"
#include "rank.hpp"

namespace ra::RA_ISA {

namespace {

template <class T>
Vec<T> selected_median(Vec<T>* v, int n) {
    select<T>(v, n, (n - 1) / 2, n / 2 + 1);
    return mean_of<T>(v[(n - 1) / 2], v[n / 2]);
}

template <class T>
Vec<T> counted_median(const Vec<T>* v, int n) {
    const Vec<T> low = value_of_rank<T>(v, n, bounds_of<T>(v, n), (n - 1) / 2);
    if (n % 2 != 0) return low;
    const Split<T> s = split_at<T>(v, n, low);
    return mean_of<T>(low, choose(less(splat(T(n / 2)), s.count), low, s.up));
}

}  // namespace

bool median(const RowsView& view, void* out, int threads) {
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        return reduce_columns(rows, static_cast<C*>(out), threads, [](Vec<C>* v, int n) {
            return n < counting_pays ? selected_median<C>(v, n) : counted_median<C>(v, n);
        });
    });
}

}  // namespace ra::RA_ISA

// out[j] = mean of the k values of column j nearest its median, 1 <= k <= n (Xie et al. 2018). In sorted order those
// are neighbours: the window begins after every value that is farther from the median than the value k places on, and
// of two equally far the smaller stays. Distances and sums in double; sorting takes O(n log^2 n), the rest O(n).
#include "base/means.hpp"
#include "order/order.hpp"

namespace ra::RA_ISA {

namespace {

// A quarter of a double, so that no difference overflows; floats cannot overflow in double.
template <class T>
constexpr double scale = sizeof(T) == sizeof(double) ? 0.25 : 1.0;

template <class T, int h>
inline Vec<double> wide(Vec<T> v) {
    if constexpr (sizeof(T) == sizeof(double))
        return v;
    else
        return half_of<h>(v);
}

// Rounded as the specification rounds it: of values nearly equally far from it, the same ones stay.
inline Vec<double> midpoint(Vec<double> low, Vec<double> high) {
    const Mask<double> apart = less(low, Vec<double>{}) ^ less(high, Vec<double>{});
    return choose(apart, (low + high) * 0.5, low + (high - low) * 0.5);
}

// Half h of the lanes: the mean of the window, from sorted values.
template <class T, int h>
Vec<double> window_mean(const Vec<T>* v, int n, int k) {
    const auto at = [v](int i) { return wide<T, h>(v[i]) * scale<T>; };
    const Vec<double> middle = midpoint(at((n - 1) / 2), at(n / 2)), one = splat(1.0);
    Vec<double> begin = {}, sum = {};
    for (int i = 0; i + k < n; ++i) begin = add_where(less(at(i + k) - middle, middle - at(i)), begin, one);
    const Vec<double> end = begin + static_cast<double>(k);
    for (int i = 0; i < n; ++i) {
        const Vec<double> place = splat(static_cast<double>(i));
        sum = add_where(less_equal(begin, place) & less(place, end), sum, wide<T, h>(v[i]) * (1.0 / k));
    }
    return sum;
}

template <class T>
Vec<T> mean_near_median(Vec<T>* v, int n, int k) {
    sort<T>(v, n);
    Vec<double> part[sizeof(double) / sizeof(T)];
    part[0] = window_mean<T, 0>(v, n, k);
    if constexpr (sizeof(T) < sizeof(double)) part[1] = window_mean<T, 1>(v, n, k);
    return between(part, v[0], v[n - 1]);
}

}  // namespace

bool mean_around_median(const RowsView& view, std::size_t k, Result out, int threads) {
    threads = threads_for(view, view.n < 17 ? 0.2 : 1, threads);
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        return reduce_columns(rows, out, threads,
                              [k](Vec<C>* v, int n) { return mean_near_median<C>(v, n, static_cast<int>(k)); });
    });
}

}  // namespace ra::RA_ISA

// out[j] = the least value y of column j with W(y) >= half, W(y) the weight of all values up to y; where W(y) is
// exactly half, the mean of y and the next value of positive weight. `half` is half of all weight. Found by bisecting
// the numbers of the type in their order, so in at most 32 or 64 passes of O(n); weights are summed in double, in
// client order.
#include "base/means.hpp"
#include "order/order.hpp"
#include "order/rank.hpp"

namespace ra::RA_ISA {

namespace {

template <class T>
struct Weight {
    Vec<double> part[sizeof(double) / sizeof(T)] = {};
};

// W(pivot).
template <class T>
Weight<T> weight_upto(const Vec<T>* v, int n, const double* weights, Vec<T> pivot) {
    Weight<T> sum;
    for (int i = 0; i < n; ++i)
        add_weighted(choose(less_equal(v[i], pivot), splat(T(1)), Vec<T>{}), weights[i], sum.part);
    return sum;
}

template <class T>
double lane_of(const Weight<T>& sum, int l) {
    return sum.part[l / lanes<double>][l % lanes<double>];
}

template <class T>
Vec<T> median_by_weight(const Vec<T>* v, int n, const double* weights, double half) {
    Vec<T> below = splat(-std::numeric_limits<T>::infinity()), reaching = splat(std::numeric_limits<T>::max());
    for (std::size_t step = 0; step < 8 * sizeof(T); ++step) {
        const Vec<T> pivot = halfway_vector<T>(below, reaching);
        const Weight<T> sum = weight_upto<T>(v, n, weights, pivot);
        for (int l = 0; l < lanes<T>; ++l) (lane_of(sum, l) < half ? below : reaching)[l] = pivot[l];
    }
    Vec<T> next = splat(std::numeric_limits<T>::infinity());
    for (int i = 0; i < n; ++i)
        if (weights[i] > 0) next = choose(less(reaching, v[i]), min(next, v[i]), next);
    const Weight<T> sum = weight_upto<T>(v, n, weights, reaching);
    for (int l = 0; l < lanes<T>; ++l)
        if (lane_of(sum, l) > half) next[l] = reaching[l];
    return mean_of<T>(reaching, next);
}

}  // namespace

bool weighted_median(const RowsView& view, const double* weights, double half, Result out, int threads) {
    threads = threads_for(view, view.n < 17 ? 0.2 : 1, threads);
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        return reduce_columns(rows, out, threads,
                              [=](Vec<C>* v, int n) { return median_by_weight<C>(v, n, weights, half); });
    });
}

}  // namespace ra::RA_ISA

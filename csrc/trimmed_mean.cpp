// out[j] = mean of column j without its k lowest and k highest values, n > 2k, accumulated in double. Few values are
// sorted by a network and summed in their order, or in halves, from which what does not stay is told; of many, the two
// outermost values that stay are found by counting, and what lies between is summed in client order.
#include "few.hpp"
#include "means.hpp"
#include "order.hpp"
#include "rank.hpp"

namespace ra::RA_ISA {

namespace {

// A sum of lanes<T> columns in double: one vector for doubles, two for floats.
template <class T>
struct Sum {
    Vec<double> part[sizeof(double) / sizeof(T)] = {};

    void add(Vec<T> v, double weight) { add_weighted(v, weight, part); }
    void add(Vec<T> v, Vec<T> times, double weight) {
        if constexpr (sizeof(T) == sizeof(double)) {
            part[0] += times * weight * v;
        } else {
            part[0] += half_of<0>(times) * weight * half_of<0>(v);
            part[1] += half_of<1>(times) * weight * half_of<1>(v);
        }
    }
};

template <class T>
Vec<T> sorted_mean(Vec<T>* v, int n, int k) {
    select<T>(v, n, k, n - k);
    Sum<T> sum;
    for (int i = k; i < n - k; ++i) sum.add(v[i], 1.0 / (n - 2 * k));
    return between(sum.part, v[k], v[n - k - 1]);
}

// From sorted halves a and b, the k lowest values of both are the smaller ones of a_i and b_(k-1-i), the k highest
// likewise; the others of these pairs stay, and all that lie between. Each half holds 2k values at least.
template <class T>
Vec<T> halves_mean(Vec<T>* v, int n, int k) {
    const int half = n / 2, rest = n - half;
    const Vec<T>*a = v, *b = v + rest;
    sort<T>(v, rest);
    sort<T>(v + rest, half);
    const double share = 1.0 / (n - 2 * k);
    Sum<T> sum;
    Vec<T> low = splat(std::numeric_limits<T>::infinity()), high = -low;
    const auto keep = [&](Vec<T> value) {
        low = min(value, low);
        high = max(value, high);
        sum.add(value, share);
    };
    for (int i = 0; i < k; ++i) {
        keep(max(a[i], b[k - 1 - i]));
        keep(min(a[rest - 1 - i], b[half - k + i]));
    }
    for (int i = k; i < rest - k; ++i) keep(a[i]);
    for (int i = k; i < half - k; ++i) keep(b[i]);
    return between(sum.part, low, high);
}

// The sum of what lies between the two outermost values that stay, and those two as often as they stay.
template <class T>
Vec<T> counted_mean(const Vec<T>* v, int n, int k) {
    Bounds<T> bounds = bounds_of<T>(v, n);
    const Vec<T> low = value_of_rank<T>(v, n, bounds, k), one = splat(T(1));
    const Vec<T> high = value_of_rank<T>(v, n, bounds, n - k - 1);
    const double share = 1.0 / (n - 2 * k);
    Sum<T> sum;
    Vec<T> upto_low = {}, below_high = {};
    for (int i = 0; i < n; ++i) {
        const Mask<T> lower = less_equal(v[i], low), inner = less(v[i], high);
        upto_low = add_where(lower, upto_low, one);
        below_high = add_where(inner, below_high, one);
        sum.add(choose(inner & ~lower, v[i], Vec<T>{}), share);
    }
    sum.add(low, upto_low - T(k), share);
    sum.add(high, T(n - k) - below_high, share);
    return between(sum.part, low, high);
}

template <class T>
struct TrimmedMean {
    int k;

    template <int n>
    Vec<T> operator()(Vec<T>* v, Few<n> count) const {
        sort<T>(v, count);
        Sum<T> sum;
        Vec<T> low, high;
        unroll<n>([&](auto i) {
            if (i < k || i >= n - k) return;
            if (i == k) low = v[i];
            high = v[i];
            sum.add(v[i], 1.0 / (n - 2 * k));
        });
        return between(sum.part, low, high);
    }
    Vec<T> operator()(Vec<T>* v, int n) const {
        if (n >= counting_pays) return counted_mean<T>(v, n, k);
        return n > straight_line && 2 * k <= n / 2 ? halves_mean<T>(v, n, k) : sorted_mean<T>(v, n, k);
    }
};

}  // namespace

bool trimmed_mean(const RowsView& view, std::size_t k, void* out, int threads) {
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        auto* to = static_cast<C*>(out);
        const TrimmedMean<C> mean{static_cast<int>(k)};
        return rows.n <= in_registers ? reduce_few(rows, to, threads, mean) : reduce_columns(rows, to, threads, mean);
    });
}

}  // namespace ra::RA_ISA

// out[j] = mean of column j without its k lowest and k highest values, n > 2k, accumulated in double. Few values are
// sorted by a network and summed in their order, or in halves, from which what does not stay is told; of many, the two
// outermost values that stay are found by counting, and what lies between is summed in client order.
#include "base/means.hpp"
#include "order/order.hpp"
#include "order/rank.hpp"
#include "order/registers.hpp"

namespace ra::RA_ISA {

namespace {

// Values from which on counting is faster than sorting: ranks near the ends are found in few passes.
constexpr int counting_pays_for(int n, int k) { return k < n / 16 ? counting_pays : 257; }

// The mean of n - 2 k values. Sums of floats cannot overflow in double, and are divided at the end; doubles are divided
// before they are added.
template <class T>
class Mean {
  public:
    Mean(int n, int k) : share_(1.0 / (n - 2 * k)) {}

    void add(Vec<T> v) { add_weighted(v, wide ? share_ : 1, sum_); }
    void add(Vec<T> v, Vec<T> times) {
        if constexpr (wide) {
            sum_[0] += times * share_ * v;
        } else {
            sum_[0] += half_of<0>(times) * half_of<0>(v);
            sum_[1] += half_of<1>(times) * half_of<1>(v);
        }
    }
    // Of values between these, where rounding must not leave: a float is the nearest one to a mean in double.
    Vec<T> of(Vec<T> low, Vec<T> high) const {
        if constexpr (wide)
            return between(sum_, low, high);
        else
            return joined(sum_[0] * share_, sum_[1] * share_);
    }

  private:
    static constexpr bool wide = sizeof(T) == sizeof(double);

    const double share_;
    Vec<double> sum_[halves<T>] = {};
};

template <class T>
Vec<T> sorted_mean(Vec<T>* v, int n, int k) {
    select<T>(v, n, k, n - k);
    Mean<T> mean(n, k);
    for (int i = k; i < n - k; ++i) mean.add(v[i]);
    return mean.of(v[k], v[n - k - 1]);
}

// From sorted halves a and b, the k lowest values of both are the smaller ones of a_i and b_(k-1-i), the k highest
// likewise; the others of these pairs stay, and all that lie between. Each half holds 2k values at least.
template <class T>
Vec<T> halves_mean(Vec<T>* v, int n, int k) {
    const int half = n / 2, rest = n - half;
    const Vec<T>*a = v, *b = v + rest;
    sort<T>(v, rest);
    sort<T>(v + rest, half);
    Mean<T> mean(n, k);
    Vec<T> low = splat(std::numeric_limits<T>::infinity()), high = -low;
    const auto keep = [&](Vec<T> value) {
        low = min(value, low);
        high = max(value, high);
        mean.add(value);
    };
    for (int i = 0; i < k; ++i) {
        keep(max(a[i], b[k - 1 - i]));
        keep(min(a[rest - 1 - i], b[half - k + i]));
    }
    for (int i = k; i < rest - k; ++i) keep(a[i]);
    for (int i = k; i < half - k; ++i) keep(b[i]);
    return mean.of(low, high);
}

// The sum of what lies between the two outermost values that stay, and those two as often as they stay.
template <class T>
Vec<T> counted_mean(const Vec<T>* v, int n, int k) {
    Bounds<T> bounds = bounds_of<T>(v, n);
    const Vec<T> low = value_of_rank<T>(v, n, bounds, k), one = splat(T(1));
    const Vec<T> high = value_of_rank<T>(v, n, bounds, n - k - 1);
    Mean<T> mean(n, k);
    Vec<T> upto_low = {}, below_high = {};
    for (int i = 0; i < n; ++i) {
        const Mask<T> lower = less_equal(v[i], low), inner = less(v[i], high);
        upto_low = add_where(lower, upto_low, one);
        below_high = add_where(inner, below_high, one);
        mean.add(choose(inner & ~lower, v[i], Vec<T>{}));
    }
    mean.add(low, upto_low - T(k));
    mean.add(high, T(n - k) - below_high);
    return choose(equal(low, high), low, mean.of(low, high));  // equal, they were counted twice
}

template <class V>
inline void exchange(V& low, V& high) {
    const V a = low;
    low = min(a, high);
    high = max(a, high);
}
// v[0] becomes the lowest value, v[n - 1] the highest; each wins in its half of pairs.
template <int n, class V>
inline void move_extremes_out(V* v) {
    constexpr int half = n / 2;
    unroll<half>([&](auto i) { exchange(v[i], v[n - 1 - i]); });
    unroll<half - 1>([&](auto i) {
        exchange(v[0], v[i + 1]);
        exchange(v[n - 2 - i], v[n - 1]);
    });
    if constexpr (n % 2 != 0) {
        exchange(v[0], v[half]);
        exchange(v[half], v[n - 1]);
    }
}

template <class T>
struct TrimmedMean {
    int k;

    template <int n>
    Vec<T> operator()(Vec<T>* v, Few<n> count) const {
        bool done = false;
        if constexpr (is_single<Vec<T>> && n > 2)
            if ((done = k == 1)) move_extremes_out<n>(v);
        if (!done) sort<T>(v, count);
        Mean<T> mean(n, k);
        Vec<T> low, high;  // for doubles, which are in order here
        unroll<n>([&](auto i) {
            if (i < k || i >= n - k) return;
            if (i == k) low = v[i];
            high = v[i];
            mean.add(v[i]);
        });
        return mean.of(low, high);
    }
    int first(int) const { return k; }
    template <class Rank>
    Vec<T> of_sorted(const Rank& rank, int n) const {
        Mean<T> mean(n, k);
        for (int i = k; i < n - k; ++i) mean.add(rank(i));
        return mean.of(rank(k), rank(n - k - 1));
    }
    Vec<T> operator()(Vec<T>* v, int n) const {
        if (n >= counting_pays_for(n, k)) return counted_mean<T>(v, n, k);
        return n > straight_line && 2 * k <= n / 2 ? halves_mean<T>(v, n, k) : sorted_mean<T>(v, n, k);
    }
};

}  // namespace

bool trimmed_mean(const RowsView& view, std::size_t k, Result out, int threads) {
    threads = threads_for(view, view.n < 17 ? 0.2 : 1, threads);
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        const TrimmedMean<C> mean{static_cast<int>(k)};
        return rows.n <= in_registers ? reduce_in_registers(rows, out, threads, mean)
                                      : reduce_columns(rows, out, threads, mean);
    });
}

}  // namespace ra::RA_ISA

#include "slopes.hpp"

namespace ra::RA_ISA {

namespace {

constexpr int stored_slopes = 16;  // up to so many clients a slope is computed once and kept, not twice, from each end

// The median of a row's n - 1 slopes.
template <int n, class T>
Vec<T> middle(Vec<T>* v) {
    constexpr int lower = (n - 2) / 2, upper = (n - 1) / 2;
    run_network<n - 1, lower, upper + 1>(v);
    return lower == upper ? v[upper] : v[lower] * T(0.5) + v[upper] * T(0.5);
}

template <class T, int n>
void row_medians_of_stored(const Gaps<T>& gaps, const Vec<T>* y, Vec<T>* s) {
    const T* reciprocal = gaps.from(0);
    Vec<T> slope[n][n];  // [i][j], i < j
    unroll<n>([&](auto j) { unroll<j>([&](auto i) { slope[i][j] = (y[j] - y[i]) * reciprocal[j - i]; }); });
    unroll<n>([&](auto i) {
        Vec<T> v[n - 1];
        unroll<i>([&](auto j) { v[j] = slope[j][i]; });
        unroll<n - 1 - i>([&](auto k) { v[i + k] = slope[i][i + 1 + k]; });
        s[i] = middle<n, T>(v);
    });
}

template <class T, int n>
void row_medians_of(const Gaps<T>& gaps, const Vec<T>* y, Vec<T>* s) {
    if constexpr (n <= stored_slopes) return row_medians_of_stored<T, n>(gaps, y, s);
    Vec<T> others[n];  // y without y_i
    for (int k = 1; k < n; ++k) others[k - 1] = y[k];
    for (int i = 0; i < n; ++i) {
        const T* reciprocal = gaps.others_from(i);
        Vec<T> v[n - 1];
        unroll<n - 1>([&](auto k) { v[k] = (others[k] - y[i]) * reciprocal[k]; });
        s[i] = middle<n, T>(v);
        others[i] = y[i];
    }
}

template <class T, int... n>
void straight_row_medians(const Gaps<T>& gaps, const Vec<T>* y, Vec<T>* s, std::integer_sequence<int, n...>) {
    using Function = void (*)(const Gaps<T>&, const Vec<T>*, Vec<T>*);
    static constexpr Function of_size[] = {row_medians_of<T, n + 2>...};
    of_size[gaps.n - 2](gaps, y, s);
}

}  // namespace

template <class T>
void row_medians(const Gaps<T>& gaps, const Vec<T>* y, Vec<T>* s, Vec<T>* work) {
    const int n = gaps.n;
    if (n <= straight_line)
        return straight_row_medians(gaps, y, s, std::make_integer_sequence<int, straight_line - 1>{});
    for (int i = 0; i < n; ++i) {
        const T* reciprocal = gaps.from(i);
        for (int j = 0; j < i; ++j) work[j] = (y[j] - y[i]) * reciprocal[j];
        for (int j = i + 1; j < n; ++j) work[j - 1] = (y[j] - y[i]) * reciprocal[j];
        s[i] = median<T>(work, n - 1);
    }
}

template void row_medians(const Gaps<float>&, const Vec<float>*, Vec<float>*, Vec<float>*);
template void row_medians(const Gaps<double>&, const Vec<double>*, Vec<double>*, Vec<double>*);

}  // namespace ra::RA_ISA

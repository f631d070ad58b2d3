#include "slopes.hpp"

namespace ra::RA_ISA {

namespace {

template <class T, int n>
void row_medians_of(const Gaps<T>& gaps, const Vec<T>* y, Vec<T>* s) {
    constexpr int lower = (n - 2) / 2, upper = (n - 1) / 2;
    Vec<T> others[n];  // y without y_i
    for (int k = 1; k < n; ++k) others[k - 1] = y[k];
    for (int i = 0; i < n; ++i) {
        const T* reciprocal = gaps.others_from(i);
        Vec<T> v[n - 1];
        unroll<n - 1>([&](auto k) { v[k] = (others[k] - y[i]) * reciprocal[k]; });
        run_network<n - 1, lower, upper + 1>(v);
        s[i] = lower == upper ? v[upper] : v[lower] * T(0.5) + v[upper] * T(0.5);
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

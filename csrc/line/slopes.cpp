#include "line/slopes.hpp"

namespace ra::RA_ISA {

namespace {

template <class T, int n>
void row_medians_of(const Gaps<T>& gaps, const Vec<T>* y, Vec<T>* s) {
    Vec<T> others[n];  // y without y_i
    for (int k = 1; k < n; ++k) others[k - 1] = y[k];
    for (int i = 0; i < n; ++i) {
        const T* reciprocal = gaps.others_from(i);
        Vec<T> v[n - 1];
        unroll<n - 1>([&](auto k) { v[k] = (others[k] - y[i]) * reciprocal[k]; });
        s[i] = median<T, Signs::none>(v, Few<n - 1>{});
        others[i] = y[i];
    }
}

template <class T, int... n>
void straight_row_medians(const Gaps<T>& gaps, const Vec<T>* y, Vec<T>* s, std::integer_sequence<int, n...>) {
    using Function = void (*)(const Gaps<T>&, const Vec<T>*, Vec<T>*);
    static constexpr Function of_size[] = {row_medians_of<T, n + 2>...};
    of_size[gaps.n - 2](gaps, y, s);
}

// The slopes from one row to `count` others, in order.
template <class T, int count>
void sort_slopes(const Vec<T>* others, const T* reciprocal, Vec<T> own, Vec<T>* to) {
    Vec<T> v[count];
    unroll<count>([&](auto k) { v[k] = (others[k] - own) * reciprocal[k]; });
    run_network<count, 0, count, Signs::none>(v);
    unroll<count>([&](auto k) { to[k] = v[k]; });
}

constexpr int smallest_half = straight_line / 2;

template <class T, int... n>
auto sort_of_slopes(int count, std::integer_sequence<int, n...>) {
    static constexpr void (*of_size[])(const Vec<T>*, const T*, Vec<T>,
                                       Vec<T>*) = {sort_slopes<T, n + smallest_half>...};
    return of_size[count - smallest_half];
}

// More rows: each half of a row's slopes is ordered in registers, and the middle found from both.
template <class T>
void row_medians_from_halves(const Gaps<T>& gaps, const Vec<T>* y, Vec<T>* s, Vec<T>* work) {
    constexpr std::make_integer_sequence<int, straight_line - smallest_half + 1> sizes;
    const int n = gaps.n, half = (n - 1) / 2, rest = n - 1 - half;
    const auto sort_rest = sort_of_slopes<T>(rest, sizes), sort_half = sort_of_slopes<T>(half, sizes);
    Vec<T> others[2 * straight_line];  // y without y_i
    for (int k = 1; k < n; ++k) others[k - 1] = y[k];
    for (int i = 0; i < n; ++i) {
        const T* reciprocal = gaps.others_from(i);
        sort_rest(others, reciprocal, y[i], work);
        sort_half(others + rest, reciprocal + rest, y[i], work + rest);
        const auto middle = middle_of_halves<T, Signs::none>(work, n - 1);
        s[i] = middle.lower * T(0.5) + middle.upper * T(0.5);
        others[i] = y[i];
    }
}

}  // namespace

template <class T>
void row_medians(const Gaps<T>& gaps, const Vec<T>* y, Vec<T>* s, Vec<T>* work) {
    if (gaps.n <= straight_line)
        straight_row_medians(gaps, y, s, std::make_integer_sequence<int, straight_line - 1>{});
    else
        row_medians_from_halves(gaps, y, s, work);
}

template void row_medians(const Gaps<float>&, const Vec<float>*, Vec<float>*, Vec<float>*);
template void row_medians(const Gaps<double>&, const Vec<double>*, Vec<double>*, Vec<double>*);

}  // namespace ra::RA_ISA

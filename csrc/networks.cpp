// select(): straight-line networks for few vectors; for many, runs of them, merged (merge.hpp). Cost n log2(n)^2 / 4
// exchanges. Exact, and without branches on values; NaNs make the order undefined.
#include "networks.hpp"

#include "merge.hpp"

namespace ra::RA_ISA {

namespace {

template <class T>
using Sorter = void (*)(Vec<T>*);

template <class T, int n, int first, int last>
void run_straight(Vec<T>* memory) {
    Vec<T> v[n];
    unroll<n>([&](auto i) { v[i] = memory[i]; });
    run_network<n, first, last>(v);
    unroll<n>([&](auto i) {
        if constexpr (i >= first && i < last) memory[i] = v[i];
    });
}

template <class T, int... n>
void select_straight(Vec<T>* v, int size, bool whole, std::integer_sequence<int, n...>) {
    static constexpr Sorter<T> sorts[] = {run_straight<T, n + 1, 0, n + 1>...};
    static constexpr Sorter<T> medians[] = {run_straight<T, n + 1, n / 2, (n + 1) / 2 + 1>...};
    (whole ? sorts : medians)[size - 1](v);
}
template <class T>
void select_straight(Vec<T>* v, int n, bool whole) {
    select_straight<T>(v, n, whole, std::make_integer_sequence<int, straight_line>{});
}

// The middle ranks, from sorted halves a and b: rank h of both is the least of max(a_i, b_(h-1-i)), the rank before it
// the largest of the minima.
template <class T>
void select_middle(Vec<T>* v, int n) {
    const int half = n / 2, rest = n - half;
    sort<T>(v, rest);
    sort<T>(v + rest, half);
    Vec<T> lower = min(v[0], v[n - 1]), upper = max(v[0], v[n - 1]);
    for (int i = 1; i < half; ++i) {
        const Vec<T> a = v[i], b = v[n - 1 - i];
        lower = max(min(a, b), lower);
        upper = min(max(a, b), upper);
    }
    v[n / 2] = rest > half ? min(v[half], upper) : upper;
    if (rest == half) v[half - 1] = lower;
}

}  // namespace

template <class T>
void select(Vec<T>* v, int n, int first, int last) {
    const bool middle = first >= (n - 1) / 2 && last <= n / 2 + 1;
    if (n <= straight_line) return select_straight<T>(v, n, !middle);
    if (middle) return select_middle<T>(v, n);
    MergeSort<T, false>(n, v).sort_all();
}

template void select<float>(Vec<float>*, int, int, int);
template void select<double>(Vec<double>*, int, int, int);

}  // namespace ra::RA_ISA

// select(): straight-line networks for few vectors; for many, runs of them merged by bitonic networks in memory.
// Source: K. E. Batcher, Sorting networks and their applications (1968). Cost n log2(n)^2 / 4 exchanges, of the last
// merge only what the wanted ranks need. Exact and without branches on values; NaNs make the order undefined.
#include "networks.hpp"

#include <algorithm>

namespace ra::RA_ISA {

namespace {

template <class T>
using Sorter = void (*)(Vec<T>*);

template <class T, int n, int first, int last>
void run_straight(Vec<T>* memory) {
    Vec<T> v[n];
    for (int i = 0; i < n; ++i) v[i] = memory[i];
    run_network<n, first, last>(v);
    for (int i = 0; i < n; ++i) memory[i] = v[i];
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

template <class V>
inline void exchange(V& low, V& high) {
    const V smaller = min(low, high);
    high = max(low, high);
    low = smaller;
}

// v[0 .. n-1], n <= 2 * half, is bitonic: brings the ranks first ... last - 1 into their places.
template <class V>
void clean(V* v, int n, int half, int first, int last) {
    if (first >= last || n < 2) return;
    for (int i = 0; i + half < n; ++i) exchange(v[i], v[i + half]);
    clean(v, std::min(n, half), half / 2, first, std::min(last, half));
    clean(v + half, n - half, half / 2, std::max(first - half, 0), last - half);
}

// v[0 .. half-1] and v[half .. n-1], n <= 2 * half, are sorted.
template <class V>
void merge(V* v, int n, int half, int first, int last) {
    for (int i = 2 * half - n; i < half; ++i) exchange(v[i], v[2 * half - 1 - i]);
    clean(v, std::min(n, half), half / 2, first, std::min(last, half));
    clean(v + half, n - half, half / 2, std::max(first - half, 0), last - half);
}

template <class T>
void sort_runs(Vec<T>* v, int n, int half, int first, int last) {
    if (n <= straight_line) return select_straight<T>(v, n, true);
    while (half >= n) half /= 2;
    sort_runs<T>(v, half, half / 2, 0, half);
    sort_runs<T>(v + half, n - half, half / 2, 0, n - half);
    merge(v, n, half, first, last);
}

}  // namespace

template <class T>
void select(Vec<T>* v, int n, int first, int last) {
    if (n <= straight_line) return select_straight<T>(v, n, first < (n - 1) / 2 || last > n / 2 + 1);
    int half = straight_line;
    while (2 * half < n) half *= 2;
    sort_runs<T>(v, n, half, first, last);
}

template void select<float>(Vec<float>*, int, int, int);
template void select<double>(Vec<double>*, int, int, int);

}  // namespace ra::RA_ISA

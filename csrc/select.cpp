// select(): straight-line networks sort few vectors (networks.cpp); many are sorted in runs and merged (merge.hpp), a
// median of many is found from two sorted halves. A trimmed mean's ranks are most of a sort, and of few vectors a sort
// costs little more than the median's part of it. Cost n log2(n)^2 / 4 exchanges. Exact, and without branches on
// values; NaNs make the order undefined.
#include "merge.hpp"

namespace ra::RA_ISA {

namespace {

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
    if (n <= straight_line)
        sort_few<T>(v, n);
    else if (middle)
        select_middle<T>(v, n);
    else
        MergeSort<T, false>(n, v).sort_all();
}

template void select<float>(Vec<float>*, int, int, int);
template void select<double>(Vec<double>*, int, int, int);

}  // namespace ra::RA_ISA

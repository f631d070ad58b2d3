// select(): straight-line networks sort few vectors (networks.cpp); many are sorted in runs and merged (merge.hpp), a
// median of many is found from two sorted halves. A trimmed mean's ranks are most of a sort, and of few vectors a sort
// costs little more than the median's part of it. Cost n log2(n)^2 / 4 exchanges. Exact, and without branches on
// values; NaNs make the order undefined.
#include "order/merge.hpp"

namespace ra::RA_ISA {

namespace {

template <class T, Signs signs>
void select_middle(Vec<T>* v, int n) {
    const int half = n / 2, rest = n - half;
    select<T, signs>(v, rest, 0, rest);
    select<T, signs>(v + rest, half, 0, half);
    const Middles<T> found = middle_of_halves<T, signs>(v, n);
    v[(n - 1) / 2] = found.lower;
    v[n / 2] = found.upper;
}

}  // namespace

template <class T, Signs signs>
void select(Vec<T>* v, int n, int first, int last) {
    const bool middle = first >= (n - 1) / 2 && last <= n / 2 + 1;
    if (n <= straight_line)
        sort_few<T, sizeof(T) == 4 ? signs : Signs::any>(v, n);  // doubles are compared alike in any case
    else if (middle)
        select_middle<T, signs>(v, n);
    else
        MergeSort<T, Counts::none>(n, v).sort_all();
}

template void select<float>(Vec<float>*, int, int, int);
template void select<float, Signs::none>(Vec<float>*, int, int, int);
template void select<double>(Vec<double>*, int, int, int);
template void select<double, Signs::none>(Vec<double>*, int, int, int);

}  // namespace ra::RA_ISA

// Inversions of every element, in every lane: out tells for each i how many j > i have z_j < z_i, and j < i have
// z_j > z_i. Two ways: all pairs, n^2 / 2 comparisons, or a merge sort whose exchanges carry the counts, n log2(n)^2.
#pragma once

#include "merge.hpp"

namespace ra::RA_ISA {

// Tags are count * unit + i, with a power of two as the unit (design.hpp); this is the largest n whose tags are exact.
template <class T>
constexpr int largest_counted = sizeof(T) == 4 ? 4096 : 1 << 26;

// tag[i] belongs to i. n (n - 1) / 2 pairs; equal values are no inversion.
template <class T>
inline void count_pairs(const Vec<T>* z, Vec<T>* tag, int n, T unit) {
    constexpr int rows = 6;
    const Vec<T> one = splat(unit);
    for (int i = 0; i < n; ++i) tag[i] = splat(T(i));
    int first = 0;
    for (; first + rows <= n; first += rows) {
        Vec<T> own[rows], count[rows];
        for (int r = 0; r < rows; ++r) own[r] = z[first + r], count[r] = tag[first + r];
        for (int r = 0; r < rows; ++r)
            for (int s = r + 1; s < rows; ++s) {
                const Mask<T> inverted = less(own[s], own[r]);
                count[r] = add_where(inverted, count[r], one);
                count[s] = add_where(inverted, count[s], one);
            }
        for (int j = first + rows; j < n; ++j) {
            const Vec<T> other = z[j];
            Vec<T> others_count = tag[j];
            for (int r = 0; r < rows; ++r) {
                const Mask<T> inverted = less(other, own[r]);
                count[r] = add_where(inverted, count[r], one);
                others_count = add_where(inverted, others_count, one);
            }
            tag[j] = others_count;
        }
        for (int r = 0; r < rows; ++r) tag[first + r] = count[r];
    }
    for (int i = first; i < n; ++i)
        for (int j = i + 1; j < n; ++j) {
            const Mask<T> inverted = less(z[j], z[i]);
            tag[i] = add_where(inverted, tag[i], one);
            tag[j] = add_where(inverted, tag[j], one);
        }
}

// Tags of all elements, in any order; negative where a tie hides an element. Returns how many are hidden.
template <class T>
inline Vec<T> count_by_merging(Vec<T>* z, Vec<T>* tag, int n, const T* units) {
    MergeSort<T, true>(n, z, tag, units).sort_all();
    Mask<T> tied = less(z[0], z[0]);
    Vec<T> hidden{};
    for (int i = 0; i < n; ++i) {
        const Mask<T> ties_next = i + 1 < n ? equal(z[i], z[i + 1]) : less(z[0], z[0]);
        tag[i] = choose(tied | ties_next, splat(T(-1)), tag[i]);
        hidden = add_where(tied | ties_next, hidden, splat(T(1)));
        tied = ties_next;
    }
    return hidden;
}

}  // namespace ra::RA_ISA

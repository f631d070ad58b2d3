// Inversions of every element, in every lane: out tells for each i how many j > i have z_j < z_i, and j < i have
// z_j > z_i. Two ways: all pairs, n^2 / 2 comparisons, or a merge sort whose exchanges carry the counts, n log2(n)^2.
//
// Merging moves an element of the left run right, past the smaller ones of the right run, and those left: the number of
// inversions that a merge finds for an element is the distance it moves. So a tag travels with each element: before a
// merge its place is taken off (left run), or its sign and place are (right run); after it, its new place is added, and
// what stands there, up to the sign, is the element's count.
#pragma once

#include <algorithm>
#include <limits>

#include "simd.hpp"

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

// Sorts z with its tags, in place, by merges that are bitonic networks. A tag means nothing in the end where its element
// is equal to another.
template <class T>
class MergeCount {
  public:
    // z and tag have room for `room(n)` vectors; of z, n are given. units[i] = i * unit for i < 2 room(n).
    static int room(int n) { return (n + leaf - 1) / leaf * leaf; }

    MergeCount(Vec<T>* z, Vec<T>* tag, int n, const T* units) : z_(z), tag_(tag), n_(room(n)), units_(units) {
        for (int i = n; i < n_; ++i) z_[i] = splat(std::numeric_limits<T>::infinity());
        for (int i = 0; i < n_; ++i) tag_[i] = splat(T(i));
        int size = leaf;
        while (size < n_) size *= 2;
        sort(0, size, {false, 0});
        for (int i = 0; i < n; ++i) tag_[i] = tag_[i] + units_[i];
    }

  private:
    static constexpr int stages = vector_bytes == 64 ? 3 : 2;  // of a network, done at a time in registers
    static constexpr int leaf = 1 << stages;

    // What a run is in the next merge: on which side, and its first place there.
    struct Role {
        bool right;
        int place;
    };

    // Elements that exchange only among themselves for a few stages. Those from `valid` on are not there: as if infinite.
    template <int size>
    struct Group {
        Vec<T> z[size], tag[size];

        void exchange(int low, int high) {
            const Mask<T> swap = less(z[high], z[low]);
            const Vec<T> low_z = z[low], low_tag = tag[low];
            z[low] = min(z[high], low_z);
            z[high] = max(z[high], low_z);
            tag[low] = choose(swap, tag[high], low_tag);
            tag[high] = choose(swap, low_tag, tag[high]);
        }
        // Each run of `half` with the reverse of the one after it.
        template <int half>
        void mirror(int valid) {
            unroll<size / 2>([&](auto k) {
                constexpr int low = k / half * 2 * half + k % half, high = low + 2 * (half - k % half) - 1;
                if (high < valid) exchange(low, high);
            });
        }
        // Strides down to 1.
        template <int stride>
        void clean(int valid) {
            if constexpr (stride > 0) {
                unroll<size / 2>([&](auto k) {
                    constexpr int low = k / stride * 2 * stride + k % stride, high = low + stride;
                    if (high < valid) exchange(low, high);
                });
                clean<stride / 2>(valid);
            }
        }
    };

    void sort(int begin, int size, Role role) {
        if (size == leaf) return sort_leaf(begin, role);
        const int half = size / 2;
        if (begin + half >= n_) return sort(begin, half, role);
        sort(begin, half, {false, 0});
        sort(begin + half, half, {true, half});
        merge(begin, half, role);
    }

    void sort_leaf(int begin, Role role) {
        Group<leaf> g;
        unroll<leaf>([&](auto k) {
            g.z[k] = z_[begin + k];
            g.tag[k] = arrived(tag_[begin + k], 0, {k % 2 != 0, k % 2});
        });
        unroll<stages>([&](auto level) {
            constexpr int half = 1 << level, size = 2 * half;
            g.template mirror<half>(leaf);
            g.template clean<half / 2>(leaf);
            unroll<leaf>([&](auto k) {
                constexpr bool right = k / size % 2 != 0;
                g.tag[k] = arrived(g.tag[k], k % size, size == leaf ? role : Role{right, right ? size : 0});
            });
        });
        unroll<leaf>([&](auto k) {
            z_[begin + k] = g.z[k];
            tag_[begin + k] = g.tag[k];
        });
    }

    // Two runs of `half`, the right one cut off at n. The stages are: the mirror, then strides half / 2 ... 1.
    void merge(int begin, int half, Role role) {
        int strided = 0;  // stages before the contiguous ones
        while (leaf << strided < 2 * half) ++strided;
        const int mirrored = (strided - 1) % stages + 1;
        if (mirrored == 1) mirror_pass<1>(begin, half);
        else if (mirrored == 2) mirror_pass<2>(begin, half);
        else mirror_pass<stages>(begin, half);
        const int end = std::min(begin + 2 * half, n_);
        for (int block = 2 * half >> mirrored; block > leaf; block /= leaf)
            for (int first = begin; first < end; first += block) clean_pass(first, block / leaf);
        for (int first = begin; first < end; first += leaf) last_pass(begin, first, role);
    }

    template <int depth>
    void mirror_pass(int begin, int half) {
        constexpr int side = 1 << depth >> 1;
        const int stride = half / side;
        for (int i = 0; i < stride; ++i) {
            const int low = begin + i, high = begin + half + stride - 1 - i;
            if (high >= n_) continue;
            const int valid = std::min(side + (n_ - high + stride - 1) / stride, 2 * side);
            run<2 * side>(low, high, stride, valid, [](auto& g, int there) {
                g.template mirror<side>(there);
                g.template clean<side / 2>(there);
            });
        }
    }
    void clean_pass(int begin, int stride) {
        for (int i = begin; i < begin + stride && i < n_; ++i) {
            const int valid = std::min((n_ - i + stride - 1) / stride, leaf);
            run<leaf>(i, i + leaf / 2 * stride, stride, valid,
                      [](auto& g, int there) { g.template clean<leaf / 2>(there); });
        }
    }
    void last_pass(int begin, int first, Role role) {
        Group<leaf> g;
        unroll<leaf>([&](auto k) {
            g.z[k] = z_[first + k];
            g.tag[k] = tag_[first + k];
        });
        g.template clean<leaf / 2>(leaf);
        unroll<leaf>([&](auto k) {
            z_[first + k] = g.z[k];
            tag_[first + k] = arrived(g.tag[k], first - begin + k, role);
        });
    }

    // On the group of half its places from `low` on, half from `high` on.
    template <int size, class Stages>
    void run(int low, int high, int stride, int valid, const Stages& apply) {
        Group<size> g;
        const auto place = [&](int k) { return k < size / 2 ? low + k * stride : high + (k - size / 2) * stride; };
        const auto move = [&](int there) {
            unroll<size>([&](auto k) {
                if (k < there) g.z[k] = z_[place(k)], g.tag[k] = tag_[place(k)];
            });
            apply(g, there);
            unroll<size>([&](auto k) {
                if (k < there) z_[place(k)] = g.z[k], tag_[place(k)] = g.tag[k];
            });
        };
        if (valid == size) move(size);
        else move(valid);
    }

    // The tag of what arrived at `place`, made ready for the next merge.
    Vec<T> arrived(Vec<T> tag, int place, Role next) const {
        const Vec<T> count = tag + units_[place];
        return (next.right ? -abs(count) : abs(count)) - units_[next.place + place];
    }

    Vec<T>*z_, *tag_;
    int n_;
    const T* units_;
};

// Tags of all elements, in any order; negative where a tie hides an element.
template <class T>
inline void count_by_merging(Vec<T>* z, Vec<T>* tag, int n, const T* units) {
    MergeCount<T>(z, tag, n, units);
    Mask<T> tied = less(z[0], z[0]);
    for (int i = 0; i < n; ++i) {
        const Mask<T> ties_next = i + 1 < n ? equal(z[i], z[i + 1]) : less(z[0], z[0]);
        tag[i] = choose(tied | ties_next, splat(T(-1)), tag[i]);
        tied = ties_next;
    }
}

}  // namespace ra::RA_ISA

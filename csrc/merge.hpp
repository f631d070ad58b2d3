// Merge sort of n vectors, in every lane, by bitonic networks in memory (K. E. Batcher, Sorting networks and their
// applications, 1968): n log2(n)^2 / 4 exchanges, a few stages at a time in registers. It can count inversions on the
// way.
//
// Merging moves an element of the left run right, past the smaller ones of the right run, and those left: the number of
// inversions that a merge finds for an element is the distance it moves. So a tag travels with each element: before a
// merge its place is taken off (left run), or its sign and place are (right run); after it, its new place is added, and
// what stands there, up to the sign, is the element's count. Tags are count * unit + i, unit a power of two
// (design.hpp).
#pragma once

#include <algorithm>
#include <limits>

#include "networks.hpp"

namespace ra::RA_ISA {

template <class T, bool counts>
class MergeSort {
    static constexpr int stages = vector_bytes == 64 ? 3 : 2;  // of a network, done at a time in registers
    static constexpr int leaf = 1 << stages;

  public:
    explicit MergeSort(int n, Vec<T>* z) : z_(z), n_(n) {}

    // Counting: z and tag have room for `room(n)` vectors, of z n are given; units[i] = i * unit for i < 2 room(n). A
    // tag means nothing in the end where its element is equal to another.
    static int room(int n) { return (n + leaf - 1) / leaf * leaf; }
    MergeSort(int n, Vec<T>* z, Vec<T>* tag, const T* units) : z_(z), tag_(tag), n_(room(n)), units_(units) {
        for (int i = n; i < n_; ++i) z_[i] = splat(std::numeric_limits<T>::infinity());
        for (int i = 0; i < n_; ++i) tag_[i] = splat(T(i));
    }

    void sort_all() {
        int size = first_run;
        while (size < n_) size *= 2;
        sort(0, size, {false, 0});
        if constexpr (counts)
            for (int i = 0; i < n_; ++i) tag_[i] = tag_[i] + units_[i];
    }

  private:
    static constexpr int first_run = counts ? leaf : straight_line;

    // What a run is in the next merge: on which side, and its first place there.
    struct Role {
        bool right;
        int place;
    };

    // Elements that exchange only among themselves for a few stages. Those from `valid` on are not there: as if
    // infinite.
    template <int size>
    struct Group {
        Vec<T> z[size], tag[size];

        void load(const MergeSort& from, int k, int place) {
            z[k] = from.z_[place];
            if constexpr (counts) tag[k] = from.tag_[place];
        }
        void store(const MergeSort& to, int k, int place) const {
            to.z_[place] = z[k];
            if constexpr (counts) to.tag_[place] = tag[k];
        }
        void exchange(int low, int high) {
            const Vec<T> a = z[low], b = z[high];
            z[low] = min(b, a);
            z[high] = max(b, a);
            if constexpr (counts) {
                const Mask<T> swap = less(b, a);
                const Vec<T> tag_a = tag[low], tag_b = tag[high];
                tag[low] = choose(swap, tag_b, tag_a);
                tag[high] = choose(swap, tag_a, tag_b);
            }
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
        if (size == first_run) return sort_run(begin, role);
        const int half = size / 2;
        if (begin + half >= n_) return sort(begin, half, role);
        sort(begin, half, {false, 0});
        sort(begin + half, half, {true, half});
        merge(begin, half, role);
    }

    void sort_run(int begin, Role role) {
        if constexpr (!counts) return sort_few<T>(z_ + begin, std::min(first_run, n_ - begin));
        Group<leaf> g;
        unroll<leaf>([&](auto k) {
            g.load(*this, k, begin + k);
            g.tag[k] = arrived(g.tag[k], 0, {k % 2 != 0, k % 2});
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
        unroll<leaf>([&](auto k) { g.store(*this, k, begin + k); });
    }

    // Two runs of `half`, the right one cut off at n. The stages are: the mirror, then strides half / 2 ... 1.
    void merge(int begin, int half, Role role) {
        int strided = 0;  // stages before those inside a leaf
        while (leaf << strided < 2 * half) ++strided;
        const int mirrored = (strided - 1) % stages + 1;
        if (mirrored == 1)
            mirror_pass<1>(begin, half);
        else if (mirrored == 2)
            mirror_pass<2>(begin, half);
        else
            mirror_pass<stages>(begin, half);
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
        run<leaf>(first, first + leaf / 2, 1, std::min(n_ - first, leaf), [&](auto& g, int there) {
            g.template clean<leaf / 2>(there);
            if constexpr (counts) unroll<leaf>([&](auto k) { g.tag[k] = arrived(g.tag[k], first - begin + k, role); });
        });
    }

    // On the group of half its places from `low` on, half from `high` on.
    template <int size, class Stages>
    void run(int low, int high, int stride, int valid, const Stages& apply) {
        const auto place = [&](int k) { return k < size / 2 ? low + k * stride : high + (k - size / 2) * stride; };
        const auto move = [&](int there) {
            Group<size> g{};  // what is not there is not read, but the compiler cannot see that
            unroll<size>([&](auto k) {
                if (k < there) g.load(*this, k, place(k));
            });
            apply(g, there);
            unroll<size>([&](auto k) {
                if (k < there) g.store(*this, k, place(k));
            });
        };
        if (valid == size)
            move(size);
        else
            move(valid);
    }

    // The tag of what arrived at `place`, made ready for the next merge.
    Vec<T> arrived(Vec<T> tag, int place, Role next) const {
        const Vec<T> count = tag + units_[place];
        return (next.right ? -abs(count) : abs(count)) - units_[next.place + place];
    }

    Vec<T>* const z_;
    Vec<T>* const tag_ = nullptr;
    const int n_;
    const T* const units_ = nullptr;
};

}  // namespace ra::RA_ISA

// Merge sort of n vectors, in every lane, by bitonic networks in memory (K. E. Batcher, Sorting networks and their
// applications, 1968): n log2(n)^2 / 4 exchanges, a few stages at a time in registers. It can count inversions on the
// way.
//
// Merging moves an element of the left run right, past the smaller ones of the right run, and those left: the number of
// inversions that a merge finds for an element is the distance it moves. Up to a few hundred elements, words
// (words.hpp) carry their counts, which costs nothing to exchange. Longer runs are merged with a tag beside each
// element: before a merge its place is taken off (left run), or its sign and place are (right run); after it, its new
// place is added, and what stands there, up to the sign, is the element's count. Tags are count * unit + i, unit a
// power of two (design.hpp).
#pragma once

#include <algorithm>
#include <limits>

#include "order/networks.hpp"
#include "order/words.hpp"

namespace ra::RA_ISA {

enum class Counts { none, in_word, in_tag };

template <class T, Counts counts>
class MergeSort {
    static constexpr bool in_word = counts == Counts::in_word, in_tag = counts == Counts::in_tag;
    static constexpr int stages = vector_bytes == 64 ? 3 : 2;  // of a network, done at a time in registers
    static constexpr int leaf = 1 << stages;
    static constexpr int few_levels = stages + 1, few = 1 << few_levels;  // words, sorted in registers

  public:
    explicit MergeSort(int n, Vec<T>* z) : z_(z), n_(n), first_run_(straight_line) {}

    // Words of one run; behind them there is room for `spare` more.
    static constexpr int spare = few - 1;
    MergeSort(int n, Vec<T>* z, const Words<T>& words)
        : z_(z), n_((n + spare) / few * few), first_run_(few), words_(&words) {
        for (int i = n; i < n_; ++i) z_[i] = splat(std::numeric_limits<T>::max());
    }
    // All words, which lose their counts to the tags; units[i] = i * unit for i < 2 n. In the end the tag at place i
    // has lost units[i].
    MergeSort(int n, Vec<T>* z, const Words<T>& words, Vec<T>* tag, const T* units)
        : z_(z), n_(n), first_run_(words.run), words_(&words), tag_(tag), units_(units) {}

    void sort_all() {
        int size = first_run_;
        while (size < n_) size *= 2;
        sort(0, size, {false, 0});
    }

  private:
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
            if constexpr (in_tag) tag[k] = from.tag_[place];
        }
        void store(const MergeSort& to, int k, int place) const {
            to.z_[place] = z[k];
            if constexpr (in_tag) to.tag_[place] = tag[k];
        }
        void exchange(int low, int high) {
            const Vec<T> a = z[low], b = z[high];
            z[low] = min(b, a);
            z[high] = larger<counts == Counts::none ? Signs::any : Signs::none>(b, a);
            if constexpr (in_tag) {
                const Mask<T> swap = less(b, a);
                const Vec<T> tag_a = tag[low], tag_b = tag[high];
                tag[low] = choose(swap, tag_b, tag_a);
                tag[high] = choose(swap, tag_a, tag_b);
            }
        }
        // Each run of `half` with the reverse of the one after it.
        template <int half, class Count>
        void mirror(Count valid) {
            unroll<size / 2>([&](auto k) {
                constexpr int low = k / half * 2 * half + k % half, high = low + 2 * (half - k % half) - 1;
                if (high < valid) exchange(low, high);
            });
        }
        // Strides down to 1.
        template <int stride, class Count>
        void clean(Count valid) {
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
        if (size == first_run_) return sort_run(begin, role);
        const int half = size / 2;
        if (begin + half >= n_) return sort(begin, half, role);
        sort(begin, half, {false, 0});
        sort(begin + half, half, {true, half});
        merge(begin, half, role);
    }

    void sort_run(int begin, Role role) {
        const int count = std::min(first_run_, n_ - begin);
        if constexpr (counts == Counts::none) sort_few<T>(z_ + begin, count);
        if constexpr (in_word) sort_words(begin, role);
        if constexpr (in_tag) {
            MergeSort<T, Counts::in_word>(count, z_ + begin, *words_).sort_all();
            for (int i = 0; i < count; ++i) {
                const Vec<T> word = z_[begin + i], tag = words_->tag(word, begin);
                tag_[begin + i] = role.right ? -tag - units_[role.place + 2 * i] : tag;
                z_[begin + i] = words_->indexed(word, begin);
            }
        }
    }

    void sort_words(int begin, Role role) {
        Group<few> g;
        unroll<few>([&](auto k) { g.load(*this, k, begin + k); });
        unroll<few_levels>([&](auto level) {
            constexpr int half = 1 << level, size = 2 * half;
            g.template mirror<half>(Few<few>{});
            g.template clean<half / 2>(Few<few>{});
            unroll<few>([&](auto k) {
                const bool to_right = size == few ? role.right : k / size % 2 != 0;
                g.z[k] = words_->arrived(g.z[k], Whole<T>{} + k % size, half, to_right);
            });
        });
        unroll<few>([&](auto k) { g.store(*this, k, begin + k); });
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
        for (int first = begin; first < end; first += leaf) last_pass(begin, first, half, role);
    }

    // The passes are flattened, and a whole group's size is a constant: calls and branches would take longer than the
    // exchanges between them.
    template <int depth>
    __attribute__((flatten)) void mirror_pass(int begin, int half) {
        constexpr int side = 1 << depth >> 1;
        const int stride = half / side;
        for (int i = 0; i < stride; ++i) {
            const int low = begin + i, high = begin + half + stride - 1 - i;
            if (high >= n_) continue;
            const int valid = std::min(side + (n_ - high + stride - 1) / stride, 2 * side);
            run<2 * side>(low, high, stride, valid, [](auto& g, auto there) {
                g.template mirror<side>(there);
                g.template clean<side / 2>(there);
            });
        }
    }
    __attribute__((flatten)) void clean_pass(int begin, int stride) {
        for (int i = begin; i < begin + stride && i < n_; ++i) {
            const int valid = std::min((n_ - i + stride - 1) / stride, leaf);
            run<leaf>(i, i + leaf / 2 * stride, stride, valid,
                      [](auto& g, auto there) { g.template clean<leaf / 2>(there); });
        }
    }
    __attribute__((flatten)) void last_pass(int begin, int first, int half, Role role) {
        run<leaf>(first, first + leaf / 2, 1, std::min(n_ - first, leaf), [&](auto& g, auto there) {
            g.template clean<leaf / 2>(there);
            if constexpr (in_word) {
                const Whole<T> place = Whole<T>{} + (first - begin);
                unroll<leaf>([&](auto k) { g.z[k] = words_->arrived(g.z[k], place + int(k), half, role.right); });
            }
            if constexpr (in_tag) unroll<leaf>([&](auto k) { g.tag[k] = arrived(g.tag[k], first - begin + k, role); });
        });
    }

    // On the group of half its places from `low` on, half from `high` on.
    template <int size, class Stages>
    void run(int low, int high, int stride, int valid, const Stages& apply) {
        const auto place = [&](int k) { return k < size / 2 ? low + k * stride : high + (k - size / 2) * stride; };
        const auto move = [&](auto there) {
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
            move(Few<size>{});
        else
            move(valid);
    }

    // The tag of what arrived at `place`, made ready for the next merge.
    Vec<T> arrived(Vec<T> tag, int place, Role next) const {
        const Vec<T> count = tag + units_[place];
        return (next.right ? -abs(count) : abs(count)) - units_[next.place + place];
    }

    Vec<T>* const z_;
    const int n_, first_run_;
    const Words<T>* const words_ = nullptr;
    Vec<T>* const tag_ = nullptr;
    const T* const units_ = nullptr;
};

}  // namespace ra::RA_ISA

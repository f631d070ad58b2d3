// Inversions of every element, in every lane: tags tell for each i how many j > i have z_j < z_i, and j < i have
// z_j > z_i. Two ways: all pairs, n^2 / 2 comparisons, or a merge sort whose exchanges carry the counts, n log2(n)^2.
#pragma once

#include <cstdint>

#include "line/exact.hpp"
#include "order/merge.hpp"

namespace ra::RA_ISA {

// Tags are count * unit + i, with a power of two as the unit (design.hpp); this is the largest n whose tags are exact:
// in the last merge, of runs of `half`, they grow to 2 n - half units.
template <class T>
constexpr int largest_counted = sizeof(T) == 4 ? 3072 : 1 << 25;

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

// From where on a row's tag tells that it is below the trial, and up to where that it is above: of its n - 1 slopes,
// more than the upper middle one lie below, or no more than the lower middle one.
template <class T>
struct Halves {
    T below, above;

    Halves(int n, T unit) : below(unit * T(Middle(n - 1).upper + 1)), above(unit * T(Middle(n - 1).lower + 1)) {}
    Mask<T> is_below(Vec<T> tag) const { return less_equal(splat(below), tag); }
    Mask<T> is_above(Vec<T> tag) const { return less(tag, splat(above)); }
};

// How many rows are below and above, and in which lanes that is unclear.
template <class T>
struct Tally {
    Vec<T> below, above;
    Mask<T> unclear;

    void add(const Halves<T>& halves, Vec<T> tag) {
        below = add_where(halves.is_below(tag), below, splat(T(1)));
        above = add_where(halves.is_above(tag), above, splat(T(1)));
    }
};

// The tags of words, in any order, and their tally. Words of equal keys count as no inversions at first; where that
// could take a row for one above, z_of(i, lane) tells. A lane where very many keys are equal is left unclear.
template <class T>
class MergeCount {
  public:
    MergeCount(Vec<T>* z, Vec<T>* tag, std::uint16_t* doubtful, int n, const Words<T>& words, const T* units,
               const Halves<T>& halves)
        : z_(z), tag_(tag), doubtful_(doubtful), n_(n), words_(words), units_(units), halves_(halves) {}

    template <class Values>
    Tally<T> operator()(const Values& z_of) const {
        MergeSort<T, Counts::in_tag>(n_, z_, words_, tag_, units_).sort_all();
        Tally<T> tally = classify();
        for (int i = 0; i < n_; ++i)
            for (unsigned left = doubtful_[i] & ~bits(tally.unclear); left != 0; left &= left - 1) {
                const int lane = __builtin_ctz(left);
                const T tag = tag_[i][lane] + units_[inversions_among_equals(i, lane, z_of)];
                tag_[i][lane] = tag;
                if (tag >= halves_.above) tally.above[lane] -= T(1);
                if (tag >= halves_.below) tally.below[lane] += T(1);
            }
        return tally;
    }

  private:
    Tally<T> classify() const {
        const int most = 1 + n_ / 100;  // words of the same key as another
        const Mask<T> none = less(z_[0], z_[0]);
        Tally<T> tally{{}, {}, none};
        Mask<T> tied = none;
        for (int i = 0; i < n_; ++i) {
            const Mask<T> ties_next = i + 1 < n_ ? words_.same_key(z_[i], z_[i + 1]) : none;
            if (i + most + 1 < n_) tally.unclear = tally.unclear | words_.same_key(z_[i], z_[i + most + 1]);
            const Vec<T> tag = tag_[i] + units_[i];
            tag_[i] = tag;
            tally.add(halves_, tag);
            const Mask<T> nearly = halves_.is_above(tag) & ~halves_.is_above(tag + units_[most]);
            doubtful_[i] = static_cast<std::uint16_t>(bits((tied | ties_next) & nearly));
            tied = ties_next;
        }
        return tally;
    }

    template <class Values>
    int inversions_among_equals(int place, int lane, const Values& z_of) const {
        const T word = z_[place][lane], z = z_of(words_.index(word), lane);
        int count = 0;
        for (int i = place - 1; i >= 0 && words_.same_key(z_[i][lane], word); --i)
            count += z < z_of(words_.index(z_[i][lane]), lane);
        for (int i = place + 1; i < n_ && words_.same_key(z_[i][lane], word); ++i)
            count += z_of(words_.index(z_[i][lane]), lane) < z;
        return count;
    }

    Vec<T>*const z_, *const tag_;
    std::uint16_t* const doubtful_;
    const int n_;
    const Words<T>& words_;
    const T* const units_;
    const Halves<T>& halves_;
};

}  // namespace ra::RA_ISA

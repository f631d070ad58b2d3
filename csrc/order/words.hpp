// Words, which counting sorts (merge.hpp): a key, an index and a count in one number of type T, so that one minimum and
// one maximum exchange all three. They are positive normal numbers, which are ordered like their bits. A key is coarser
// than the z that it stands for; words of equal keys are ordered by their indices.
//
// In a sorted run, the element of index i has the place p = i - earlier + later: the inversions that it is in with
// elements from before and from behind it. A merge changes only `later` in its left run, only `earlier` in its right
// one. So the count is of the other kind: earlier + the index that the run itself has in a left run, later + i in a
// right one. Turning one into the other takes only the place, and no such number outgrows the indices.
#pragma once

#include <algorithm>
#include <limits>

#include "base/whole.hpp"

namespace ra::RA_ISA {

template <class T>
class Words {
    static constexpr int mantissa = std::numeric_limits<T>::digits - 1;
    static constexpr Integer<T> one = 1, exponents = 2 * std::numeric_limits<T>::max_exponent - 2;

  public:
    const int bits;         // of the index, and of the count
    const int run;          // how many words that is enough for
    const int unit_bits;    // of the index among all n, no more than 2 bits
    const Integer<T> keys;  // they are -keys ... keys - 1

    Words(int unit_bits_, int most_bits)
        : bits(std::min(unit_bits_, most_bits)),
          run(1 << bits),
          unit_bits(unit_bits_),
          keys((exponents << mantissa >> 2 * bits) / 2) {}

    Vec<T> word(Whole<T> key, int i) const {
        const Integer<T> index = i & (run - 1);
        return (Vec<T>)((key << 2 * bits) + ((one << mantissa) + (keys << 2 * bits) + (index << bits) + index));
    }

    // At `place` after a merge with runs of `half`, made ready for the next one.
    Vec<T> arrived(Vec<T> word, Whole<T> place, int half, bool to_right) const {
        const Integer<T> was_right = Integer<T>(half) << bits;
        const auto w = (Whole<T>)word;
        return (Vec<T>)(to_right ? add_where<T>(lacks_bits<T>(w, was_right), w, place)
                                 : subtract_where<T>(has_bits<T>(w, was_right), w, place));
    }

    // Of a word in the end, as in a left run: (all its inversions - its place) * unit + its index among all n.
    Vec<T> tag(Vec<T> word, int begin) const {
        const auto w = (Whole<T>)word;
        const Whole<T> earlier = w & (run - 1), index = w >> bits & (run - 1);
        const Whole<T> tag = ((earlier + earlier - index) << unit_bits) + index + begin;
        const Vec<T> whole = splat(T(one << mantissa) * T(1.5));  // its bits plus a whole number's are those of the sum
        return (Vec<T>)(tag + (Whole<T>)whole) - whole;
    }
    // The key, and instead of the rest the index among all n.
    Vec<T> indexed(Vec<T> word, int begin) const {
        const auto w = (Whole<T>)word;
        return (Vec<T>)((w & ~rest()) + ((w >> bits & (run - 1)) + begin));
    }
    int index(T indexed) const { return static_cast<int>(whole(indexed) & rest()); }

    Mask<T> same_key(Vec<T> a, Vec<T> b) const { return lacks_bits<T>((Whole<T>)a ^ (Whole<T>)b, ~rest()); }
    bool same_key(T a, T b) const { return ((whole(a) ^ whole(b)) & ~rest()) == 0; }

  private:
    Integer<T> rest() const { return (one << 2 * bits) - 1; }
    static Integer<T> whole(T word) {
        Integer<T> w;
        std::memcpy(&w, &word, sizeof w);
        return w;
    }
};

// From z to keys, in the order of z: linear in the distance from a centre up to `near`, logarithmic from there to
// `far`. For so are the bits of a number: what is near is told apart though there be attackers far away.
template <class T>
class Keys {
  public:
    Keys() = default;
    Keys(const Words<T>& words, Vec<T> near, Vec<T> far) : near_(near), last_(words.keys - 1) {
        const Whole<T> reach = (Whole<T>)(far + near) - (Whole<T>)near;
        for (int l = 0; l < lanes<T>; ++l)
            while (reach[l] >> shift_ > last_) ++shift_;
    }
    Whole<T> operator()(Vec<T> from_centre) const {
        Whole<T> key = ((Whole<T>)(abs(from_centre) + near_) - (Whole<T>)near_) >> shift_;
        key = key < last_ ? key : Whole<T>{} + last_;
        return key ^ ((Whole<T>)from_centre >> (8 * sizeof(T) - 1));  // -1 - key where it is negative
    }

  private:
    Vec<T> near_{};
    Integer<T> last_ = 0;
    int shift_ = 0;
};

}  // namespace ra::RA_ISA

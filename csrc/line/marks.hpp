// Marks on rows, for each lane of its own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/whole.hpp"

namespace ra::RA_ISA {

template <class T>
class Marks {
  public:
    static constexpr std::size_t bytes(std::size_t n) { return pitch_of(n) * lanes<T>; }

    // None is marked. `unit` is that of the tags.
    Marks(bool* marks, int n, T unit)
        : marks_(marks), n_(n), pitch_(static_cast<int>(pitch_of(n))), index_bits_(static_cast<Integer<T>>(unit) - 1) {
        for (int l = 0; l < lanes<T>; ++l) {
            first_[l] = l * pitch_;
            std::fill_n(marks + l * pitch_, n, false);
            std::fill_n(marks + l * pitch_ + n, pitch_ - n, true);
        }
    }

    // The rows of tags in the lanes of `which`; the others mark the place behind all rows, which takes no branch.
    void mark(Mask<T> which, Vec<T> tag) const {
        const Whole<T> row = __builtin_convertvector(tag, Whole<T>) & index_bits_;
        const Vec<T> place = choose(which, (Vec<T>)(first_ + row), (Vec<T>)(first_ + n_));
        alignas(64) Integer<T> places[lanes<T>];
        std::memcpy(places, &place, sizeof places);
        for (int l = 0; l < lanes<T>; ++l) marks_[places[l]] = true;
    }

    // The rows of a lane that are not marked, and how many they are.
    int list_others(int lane, int* rows) const {
        constexpr std::uint64_t all = 0x0101010101010101;
        int count = 0;
        for (int i = 0; i < pitch_; i += 8) {
            std::uint64_t eight;
            std::memcpy(&eight, marks_ + lane * pitch_ + i, sizeof eight);
            for (std::uint64_t left = eight ^ all; left != 0; left &= left - 1)
                rows[count++] = i + __builtin_ctzll(left) / 8;
        }
        return count;
    }

  private:
    static constexpr std::size_t pitch_of(std::size_t n) { return (n + 8) / 8 * 8; }

    bool* const marks_;
    const int n_, pitch_;
    const Integer<T> index_bits_;
    Whole<T> first_;
};

}  // namespace ra::RA_ISA

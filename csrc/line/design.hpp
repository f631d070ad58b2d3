// What depends on n and the parameters alone: computed once per call, in double, kept in the compute type.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/parallel.hpp"
#include "base/simd.hpp"
#include "kernels.hpp"
#include "order/words.hpp"

namespace ra::RA_ISA {

// The reciprocals of the distances between n ranks.
template <class T>
class Gaps {
  public:
    explicit Gaps(int n);

    const int n;

    // from(i)[j] = 1 / (j - i): a slope of row i is (y_j - y_i) * from(i)[j]. NaN for j = i, 0 in the vector after j =
    // n.
    T* from(int i) const { return table() + n - i; }
    // others_from(i)[k]: the same for the k-th of the other ranks, j = k or, from i on, k + 1.
    T* others_from(int i) const { return table() + 3 * n + lanes<T> - i; }

  private:
    std::size_t size() const { return 4 * static_cast<std::size_t>(n) + lanes<T>; }
    T* table() const { return static_cast<T*>(memory_.of(0)); }

    Scratch memory_;
};

// A thinned column, every step-th rank: its small repeated median tells where to look for the whole one's.
struct Thinning {
    static constexpr int most = 32;
    int size, step, first;

    explicit Thinning(int n)
        : size(n < 192 ? most / 2 : most),
          step(std::max(1, (n - 1) / (size - 1))),
          first((n - 1 - step * (size - 1)) / 2) {}
};

template <class T>
struct Design {
    const int n;
    const Gaps<T> gaps;
    const Thinning thinning;
    const Gaps<T> thinned_gaps;
    const int unit_bits;
    const Words<T> words, finer_words;  // keys of 15 bits, and of as many as indices leave, in runs of 16 or more

    explicit Design(std::size_t n);

    // Tags of counting (count.hpp): a power of two, n or more, and its multiples 0, 1, ... 2 n + 31.
    const T unit;
    T* units() const { return static_cast<T*>(units_.of(0)); }

  private:
    std::size_t count() const { return 2 * static_cast<std::size_t>(n) + 32; }
    const Scratch units_;
};

// Steps 4 to 6 of the rule in one comparison: with tau = deviation * median |r| + floor, the confidence of rank i is
// min(1, width[i] * tau / |r_i|), width[i] = Z sqrt(2 / n) sqrt(1 - h_i), h_i the leverage.
template <class T>
struct Widths {
    Widths(std::size_t n, double interval_width, double scale_floor);

    T deviation, floor;
    Scratch memory;
    T* width;
};

}  // namespace ra::RA_ISA

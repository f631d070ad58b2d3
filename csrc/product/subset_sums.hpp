// Sums of clients for many results at once, each of its own clients: the sums of all subsets of four clients are formed
// once, and a result adds one of them for every four clients instead of four values. (The idea is that of Arlazarov,
// Dinic, Kronrod and Faradzev, 1970, "the four Russians".)
#pragma once

#include "base/means.hpp"

namespace ra::RA_ISA {

// Which subsets each result adds, and what its sum is multiplied by.
class Subsets {
  public:
    static constexpr std::size_t quads = 8;  // groups of four clients whose tables lie in the L1 cache together
    static constexpr std::size_t clients = 4 * quads;

    // Whether that is how to form the results: many of them, all one weight times the sum of many clients.
    static bool serve(const double* matrix, std::size_t m, std::size_t n) {
        std::size_t summands = 0;
        for (std::size_t r = 0; r < m; ++r) {
            const double* row = matrix + r * n;
            const double weight = weight_of(row, n);
            for (std::size_t i = 0; i < n; ++i) {
                if (row[i] != 0 && row[i] != weight) return false;
                summands += row[i] != 0;
            }
        }
        return m >= 16 && 4 * summands >= m * n;
    }

    Subsets(const double* matrix, std::size_t m, std::size_t n)
        : m(m),
          blocks((n + clients - 1) / clients),
          weights_(1, m * sizeof(double)),
          choices_(1, blocks * m * sizeof(std::uint64_t)) {
        for (std::size_t r = 0; r < m; ++r) {
            const double* row = matrix + r * n;
            weight(r) = weight_of(row, n);
            for (std::size_t b = 0; b < blocks; ++b) choices(b, r) = 0x7060504030201000;
            for (std::size_t i = 0; i < n; ++i)
                choices(i / clients, r) |= std::uint64_t(row[i] != 0) << (i % clients / 4 * 8 + i % 4);
        }
    }

    double& weight(std::size_t r) const { return static_cast<double*>(weights_.of(0))[r]; }
    // For each group of a block of clients a byte: where in the block's tables, 16 sums each, the sum is.
    std::uint64_t& choices(std::size_t block, std::size_t r) const {
        return static_cast<std::uint64_t*>(choices_.of(0))[block * m + r];
    }

    const std::size_t m, blocks;

  private:
    static double weight_of(const double* row, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i)
            if (row[i] != 0) return row[i];
        return 0;
    }

    const Scratch weights_, choices_;
};

// Adds to the m sums what a block of clients, x[0] to x[count - 1], gives them in half h of a vector of columns.
template <int h>
void add_subsets(const Vec<float>* x, std::size_t count, const Subsets& subsets, std::size_t block, Vec<double>* sums) {
    Vec<double> table[16 * Subsets::quads];
    for (std::size_t q = 0; q < Subsets::quads; ++q) {
        Vec<double>* sum = table + 16 * q;
        sum[0] = Vec<double>{};
        unroll<4>([&](auto k) {
            const Vec<double> v = 4 * q + k < count ? half_of<h>(x[4 * q + k]) : Vec<double>{};
            unroll<(1 << k)>([&](auto s) { sum[(1 << k) + s] = sum[s] + v; });
        });
    }
    for (std::size_t r = 0; r < subsets.m; ++r) {
        const std::uint64_t choices = subsets.choices(block, r);
        Vec<double> sum = sums[r];
        unroll<Subsets::quads>([&](auto q) { sum += table[choices >> 8 * q & 0xff]; });
        sums[r] = sum;
    }
}

}  // namespace ra::RA_ISA

// Sums of matrices as whole numbers of units that are the same for everyone: each number is cut to the digits of its
// entry, whose level is that of the largest. Row 0 has the matrices, one after the other.
#include "cuda/base.cuh"

constexpr int digits_of_a_sum = 3;

// 2^exponent, and the least exponent of a power of two beyond a number, of ordinary ones.
RA_DEVICE double power(int exponent) { return number_of(static_cast<u64>(exponent + 1023) << 52); }
RA_DEVICE int exponent_of(double x) { return static_cast<int>(bits_of(x) >> 52 & 0x7ff) - 1022; }

RA_KERNEL digits(RA_ROWS, i64 entries, int bits, int lowest, double finest, double* counts, i64* level) {
    const double* const terms = reinterpret_cast<const double*>(rows[0]);
    RA_EACH(e, entries) {
        double most = finest;
        RA_UNROLL_8
        for (i64 k = e; k < d; k += entries) most = upper(most, absolute(terms[k]));
        int own = (exponent_of(most) + bits - 1) / bits;
        while ((own - 1) * bits >= exponent_of(most)) --own;  // of negative exponents
        own = own < lowest ? lowest : own;
        double sums[digits_of_a_sum] = {};
        RA_UNROLL_8
        for (i64 k = e; k < d; k += entries) {
            double rest = terms[k];
            RA_UNROLL
            for (int i = 0; i < digits_of_a_sum; ++i) {
                const int exponent = (own - 1 - i) * bits;
                const double whole = static_cast<double>(static_cast<i64>(rest * power(-exponent)));
                sums[i] += whole;
                rest -= whole * power(exponent);
            }
        }
        for (int i = 0; i < digits_of_a_sum; ++i) counts[i * entries + e] = sums[i];
        level[e] = own;
    }
}

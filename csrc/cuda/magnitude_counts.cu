// How often each value of some bits occurs in the keys of each row's magnitudes, by whether the sign is that asked for.
#include "cuda/base.cuh"

RA_KERNEL magnitude_counts(RA_ROWS, const i8* signs, int shift, int bits, const i64* prefixes, i64* counts) {
    for (int i = 0; i < clients; ++i) {
        RA_EACH(j, d) {
            const Compute v = widened(rows[i][j]);
            if (!is_finite(v)) *odd = 1;
            const u32 key = key_of_magnitude(v);
            if (static_cast<i64>(key >> shift >> bits) != prefixes[i]) continue;
            const bool same = (v > 0) - (v < 0) == signs[j];
            const i64 slot = (key >> shift) & ((1u << bits) - 1);
            add_to(counts + ((2 * static_cast<i64>(i) + same) << bits) + slot, 1);
        }
    }
}

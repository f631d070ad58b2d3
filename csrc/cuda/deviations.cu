// How far from the median is what rectify leaves of a row, tile by tile: the sum of squares and the largest difference.
// A block takes a tile of a row, and the other rows where a rescale may move its value.
#include "cuda/line.cuh"
#include "cuda/sums.cuh"

// Whether that may be: clipping moves only what is half the range or more from the median.
RA_DEVICE bool may_move(double away, int mode, double range) {
    return mode == paper || (mode == clip && absolute(away) >= range / 2);
}

RA_KERNEL deviations(RA_ROWS, const u8* rejected, const Compute* median, int mode, double range, i64 tile, double limit,
                     const u8* shrunk, double shrink, double* out) {
    const int n = number(clients);
    const i64 tiles = (d + tile - 1) / tile, bytes = (d + 7) / 8;
    RA_EACH_BLOCK(b, tiles * n) {
        const i64 begin = b / n * tile, end = begin + tile < d ? begin + tile : d;
        const int i = static_cast<int>(b % n);
        const double unit = shrunk[i] ? shrink : 1;
        add_up<2, 1>(begin, end, out + 2 * b, [&](i64 k, double* found) {
            const Compute middle = median[k];
            Compute kept = widened(rows[i][k]);
            if (!is_finite(kept)) *odd = 1;
            if (rejected[i * bytes + k / 8] >> k % 8 & 1) {
                kept = middle;
            } else if (may_move(static_cast<double>(kept) - middle, mode, range)) {
                Compute v[capacity];
                load(rows, n, k, v);
                kept = rescale_of(v, n, mode, range)(kept);
            }
            const double z = clamped(kept * unit - middle * unit, limit);
            found[0] += z * z;
            found[1] = upper(found[1], static_cast<double>(absolute(kept - middle)));
        });
    }
}

// How rows lie to one of them, or to zero, tile by tile: sums of (x - c)^2, x c and x^2, in double. A block takes a
// tile of a row.
#include "cuda/sums.cuh"

RA_KERNEL measure(RA_ROWS, i64 tile, int reference, double limit, const u8* shrunk, double shrink, double* out) {
    const i64 tiles = (d + tile - 1) / tile;
    RA_EACH_BLOCK(b, tiles * clients) {
        const i64 begin = b / clients * tile, end = begin + tile < d ? begin + tile : d;
        const int i = static_cast<int>(b % clients);
        const double away = shrunk[2 * i] ? shrink : 1, own = shrunk[2 * i + 1] ? shrink : 1;
        const double centre_unit = reference >= 0 && shrunk[2 * reference + 1] ? shrink : 1;
        add_up<3>(begin, end, out + 3 * b, [&](i64 k, double* sums) {
            const double x = widened(rows[i][k]), c = reference < 0 ? 0 : widened(rows[reference][k]);
            if (!(x - x == 0 && c - c == 0)) *odd = 1;
            const double z = clamped(x * away - c * away, limit), y = clamped(x * own, limit);
            sums[0] += z * z;
            sums[1] += y * clamped(c * centre_unit, limit);
            sums[2] += y * y;
        });
    }
}

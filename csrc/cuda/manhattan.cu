// Sums of absolute differences between rows, tile by tile, in double. A block takes a tile of a pair.
#include "cuda/sums.cuh"

RA_KERNEL manhattan(RA_ROWS, i64 tile, double limit, double* out) {
    const i64 tiles = (d + tile - 1) / tile, n = clients;
    RA_EACH_BLOCK(b, tiles * n * n) {
        const i64 t = b / (n * n), i = b / n % n, k = b % n;
        if (k > i) continue;
        const i64 begin = t * tile, end = begin + tile < d ? begin + tile : d;
        add_up<1>(begin, end, out + b, [&](i64 j, double* sum) {
            const double x = widened(rows[i][j]), y = widened(rows[k][j]);
            if (!(x - x == 0 && y - y == 0)) *odd = 1;
            sum[0] += lower(absolute(x - y), limit);
        });
        RA_EACH_THREAD(thread, tree_threads) {
            if (thread == 0) out[(t * n + k) * n + i] = out[b];
        }
    }
}

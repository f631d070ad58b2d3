// Inner products of the rows centred on their coordinate-wise lower median, the centre as the last row, tile by tile.
// In double: each product is added by one thread, coordinate by coordinate. A block takes a tile of 64 rows by 64,
// staged 16 coordinates at a time; a thread has 4 by 4 of their products.
#include "cuda/base.cuh"

constexpr int panel = 64, depth = 16, side = 16, each = panel / side, gram_threads = side * side;

// Row i of the centred rows at column j.
RA_DEVICE double centred(const Element* const* rows, int n, const Compute* centre, int i, i64 j, const u8* shrunk,
                         double shrink, double limit) {
    const double unit = shrunk[i] ? shrink : 1, c = centre[j] * unit;
    return clamped(i < n ? widened(rows[i][j]) * unit - c : c, limit);
}

RA_KERNEL gram(RA_ROWS, const Compute* centre, i64 tile, double limit, const u8* shrunk, double shrink, double* out) {
    RA_SHARED double left[depth][panel + 1], right[depth][panel + 1];
    const int n = clients, m = n + 1, panels = (m + panel - 1) / panel;
    const i64 tiles = (d + tile - 1) / tile, pairs = static_cast<i64>(panels) * panels;
    RA_EACH_BLOCK(b, tiles * pairs) {
        const i64 t = b / pairs, begin = t * tile, end = begin + tile < d ? begin + tile : d;
        const int first = static_cast<int>(b % pairs / panels) * panel, second = static_cast<int>(b % panels) * panel;
        if (second > first) continue;  // the other half is the same
        Private<double, each * each, gram_threads> sums;
        RA_EACH_THREAD(thread, gram_threads) {
            RA_UNROLL
            for (int s = 0; s < each * each; ++s) sums.of(thread)[s] = 0;
        }
        for (i64 at = begin; at < end; at += depth) {
            RA_BARRIER;
            RA_EACH_THREAD(thread, gram_threads) {
                const int k = thread % depth;
                for (int i = thread / depth; i < panel; i += gram_threads / depth) {
                    const bool held = at + k < end;
                    left[k][i] =
                        held && first + i < m ? centred(rows, n, centre, first + i, at + k, shrunk, shrink, limit) : 0;
                    right[k][i] = held && second + i < m
                                      ? centred(rows, n, centre, second + i, at + k, shrunk, shrink, limit)
                                      : 0;
                }
            }
            RA_BARRIER;
            RA_EACH_THREAD(thread, gram_threads) {
                const int row = thread / side, column = thread % side;
                double* own = sums.of(thread);
                for (int k = 0; k < depth; ++k) {
                    RA_UNROLL
                    for (int s = 0; s < each * each; ++s) {
                        const int i = row + s / each * side, j = column + s % each * side;
                        if (first + i < m && second + j < m) own[s] = fused(left[k][i], right[k][j], own[s]);
                    }
                }
            }
        }
        RA_EACH_THREAD(thread, gram_threads) {
            RA_UNROLL
            for (int s = 0; s < each * each; ++s) {
                const i64 i = first + thread / side + s / each * side, j = second + thread % side + s % each * side;
                if (i >= m || j > i) continue;
                out[(t * m + i) * m + j] = sums.of(thread)[s];
                out[(t * m + j) * m + i] = sums.of(thread)[s];
            }
        }
    }
}

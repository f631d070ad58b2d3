// Inner products of the rows centred on their coordinate-wise lower median, the centre as the last row, tile by tile.
// In double. A block takes a tile of 64 rows by 64, staged 32 coordinates at a time while the next are on their way; of
// these a warp has 16 rows by 32.
#include "cuda/base.cuh"

constexpr int panel = 64, depth = 32, gram_threads = 256, warp = 32, warps = gram_threads / warp;
constexpr int stride = depth + 4;     // no two lanes of a warp share a bank
constexpr int loads = panel / warps;  // of a thread: rows of one coordinate
constexpr int across = 4,
              each = 4 * across;  // products of a thread: 4 of each of the 16 x 8 that its warp has in a row

// Where in the panel the products of a thread lie.
RA_DEVICE int top_of(int thread) { return thread / warp % 4 * 16; }
RA_DEVICE int left_of(int thread) { return thread / warp / 4 * 32; }
RA_DEVICE int row_of(int thread, int s) { return top_of(thread) + thread % warp / 4 + s / 2 % 2 * 8; }
RA_DEVICE int column_of(int thread, int s) { return left_of(thread) + s / 4 * 8 + thread % 4 * 2 + s % 2; }

// Add the products of what is staged to a thread's: a device's tensor cores do so for a warp, 4 coordinates at a time.
RA_DEVICE void multiply(const double (*a)[stride], const double (*b)[stride], int thread, double* own) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    const int row = top_of(thread) + thread % warp / 4, column = left_of(thread) + thread % warp / 4;
    RA_UNROLL
    for (int k = 0; k < depth; k += 4) {
        const double low = a[row][k + thread % 4], high = a[row + 8][k + thread % 4];
        RA_UNROLL
        for (int s = 0; s < across; ++s) {
            double* c = own + 4 * s;
            const double right = b[column + 8 * s][k + thread % 4];
#if __CUDA_ARCH__ >= 900
            asm("mma.sync.aligned.m16n8k4.row.col.f64.f64.f64.f64 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                : "+d"(c[0]), "+d"(c[1]), "+d"(c[2]), "+d"(c[3])
                : "d"(low), "d"(high), "d"(right));
#else
            asm("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
                : "+d"(c[0]), "+d"(c[1])
                : "d"(low), "d"(right));
            asm("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
                : "+d"(c[2]), "+d"(c[3])
                : "d"(high), "d"(right));
#endif
        }
    }
#else
    for (int k = 0; k < depth; ++k)
        for (int s = 0; s < each; ++s) own[s] = fused(a[row_of(thread, s)][k], b[column_of(thread, s)][k], own[s]);
#endif
}

// What a thread fetches of a panel for one step: one coordinate of some rows, and of the centre.
struct Fetched {
    Element values[loads];

    // Rows of the panel that begins at `first`; none beyond the last.
    RA_DEVICE void fetch(const Element* const* rows, int n, int first, int own, i64 j) {
        RA_UNROLL
        for (int r = 0; r < loads; ++r) {
            const int i = first + own + r * warps;
            values[r] = i < n ? rows[i][j] : Element(0);
        }
    }

    // Centred, to where the block multiplies them. No difference of single precision comes near the limit.
    RA_DEVICE void stage(double (*to)[stride], int n, int first, int own, int k, double c, const u8* shrunk,
                         double shrink, double limit) const {
        RA_UNROLL
        for (int r = 0; r < loads; ++r) {
            const int i = first + own + r * warps;
            double z = i < n ? static_cast<double>(widened(values[r])) : 0;
            if (single) {
                z = i < n ? z - c : i == n ? c : 0;
            } else {
                const double unit = i <= n && shrunk[i] ? shrink : 1;
                z = i < n ? clamped(z * unit - c * unit, limit) : i == n ? clamped(c * unit, limit) : 0;
            }
            to[own + r * warps][k] = z;
        }
    }
};

RA_KERNEL gram(RA_ROWS, const Compute* centre, i64 tile, double limit, const u8* shrunk, double shrink, double* out) {
    RA_SHARED double left[panel][stride], right[panel][stride];
    const int n = clients, m = n + 1, panels = (m + panel - 1) / panel;
    const i64 tiles = (d + tile - 1) / tile, pairs = static_cast<i64>(panels) * panels;
    RA_EACH_BLOCK(b, tiles * pairs) {
        const i64 t = b / pairs, begin = t * tile, end = begin + tile < d ? begin + tile : d;
        const int first = static_cast<int>(b % pairs / panels) * panel, second = static_cast<int>(b % panels) * panel;
        if (second > first) continue;  // the other half is the same
        Private<double, each, gram_threads> sums;
        Private<Fetched, 2, gram_threads> next;
        Private<Compute, 1, gram_threads> middle;
        RA_EACH_THREAD(thread, gram_threads) {
            RA_UNROLL
            for (int s = 0; s < each; ++s) sums.of(thread)[s] = 0;
        }
        for (i64 at = begin - depth; at < end; at += depth) {  // fetch a step, multiply the one before
            RA_EACH_THREAD(thread, gram_threads) {
                const int k = thread % depth, own = thread / depth;
                const i64 j = at + depth + k;
                if (at >= begin) {
                    const double c = *middle.of(thread);
                    const bool held = at + k < end;
                    next.of(thread)[0].stage(left, held ? n : -1, first, own, k, c, shrunk, shrink, limit);
                    if (second != first)
                        next.of(thread)[1].stage(right, held ? n : -1, second, own, k, c, shrunk, shrink, limit);
                }
                if (j < end) {
                    *middle.of(thread) = centre[j];
                    next.of(thread)[0].fetch(rows, n, first, own, j);
                    if (second != first) next.of(thread)[1].fetch(rows, n, second, own, j);
                }
            }
            if (at < begin) continue;
            RA_BARRIER;
            RA_EACH_THREAD(thread, gram_threads) {
                if (first + top_of(thread) < m && second + left_of(thread) < m)
                    multiply(left, second == first ? left : right, thread, sums.of(thread));
            }
            RA_BARRIER;
        }
        RA_EACH_THREAD(thread, gram_threads) {
            RA_UNROLL
            for (int s = 0; s < each; ++s) {
                const i64 i = first + row_of(thread, s), j = second + column_of(thread, s);
                if (i >= m || j > i) continue;
                out[(t * m + i) * m + j] = sums.of(thread)[s];
                out[(t * m + j) * m + i] = sums.of(thread)[s];
            }
        }
    }
}

// In how many columns each row has the greatest or the least value, of equal ones each. A block counts in its own
// memory.
#include "cuda/ends.cuh"

constexpr int outermost_threads = 128, at_a_time = 2048;  // rows

RA_KERNEL outermost(RA_ROWS, i64* counts) {
    RA_SHARED u32 hits[at_a_time];
    for (int first = 0; first < clients; first += at_a_time) {
        const int last = first + at_a_time < clients ? first + at_a_time : clients;
        RA_BARRIER;
        RA_EACH_THREAD(t, outermost_threads) {
            for (int i = first + t; i < last; i += outermost_threads) hits[i - first] = 0;
        }
        RA_BARRIER;
        RA_EACH(j, (d + together - 1) / together * together) {
            const i64 own = j < d ? j : d - 1;  // a warp stays together
            const Ends ends = ends_of(rows, clients, own, odd);
            for (int i = first; i < last; ++i) {
                const Compute v = widened(rows[i][own]);
                count_in_block(hits + i - first, j < d && (v == ends.high || v == ends.low));
            }
        }
        RA_BARRIER;
        RA_EACH_THREAD(t, outermost_threads) {
            for (int i = first + t; i < last; i += outermost_threads) add_to(counts + i, hits[i - first]);
        }
    }
}

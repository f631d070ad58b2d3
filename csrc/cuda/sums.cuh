// Sums over the columns of a row that do not depend on the grid: a block has 128 threads, each adds up every 128th
// number, and their sums are added up in a fixed tree.
#pragma once

#include "cuda/base.cuh"

constexpr int tree_threads = 128;

// Sum of term(k, sums) over k from `begin` to `end`, `count` sums at a time, into out[0 ... count - 1]; of the last
// `tops` of them the largest, which are not negative.
template <int count, int tops = 0, class Term>
RA_DEVICE void add_up(i64 begin, i64 end, double* out, const Term& term) {
    RA_SHARED double partial[tree_threads][count];
    RA_BARRIER;  // what an earlier call left has been read
    RA_EACH_THREAD(t, tree_threads) {
        double own[count] = {};
        for (i64 k = begin + t; k < end; k += tree_threads) term(k, own);
        for (int s = 0; s < count; ++s) partial[t][s] = own[s];
    }
    for (int apart = tree_threads / 2; apart > 0; apart /= 2) {
        RA_BARRIER;
        RA_EACH_THREAD(t, tree_threads) {
            if (t < apart)
                for (int s = 0; s < count; ++s) {
                    const double own = partial[t][s], other = partial[t + apart][s];
                    partial[t][s] = s < count - tops ? own + other : upper(own, other);
                }
        }
    }
    RA_EACH_THREAD(t, tree_threads) {
        if (t == 0)
            for (int s = 0; s < count; ++s) out[s] = partial[0][s];
    }
}

// The greatest and the least value of a column.
#pragma once
#include "cuda/base.cuh"

struct Ends {
    Compute high, low;
};

// Those of column j; odd where a value is a NaN or an infinity.
RA_DEVICE Ends ends_of(const Element* const* rows, int clients, i64 j, u32* odd) {
    Compute high = widened(rows[0][j]), low = high, nothing = high - high;
    for (int i = 1; i < clients; ++i) {
        const Compute v = widened(rows[i][j]);
        nothing += v - v;
        high = upper(high, v);
        low = lower(low, v);
    }
    if (nothing != 0) *odd = 1;
    return {high, low};
}

// Tiles for the kernels that order each column: [column vector][row][lane], so that the n values of a few neighbouring
// columns lie next to each other and a network can run where they are. Column vectors are an odd number of vectors
// apart: writing a row would hit few sets of the cache otherwise.
#pragma once

#include "base/output.hpp"
#include "base/stage.hpp"
#include "order/networks.hpp"

namespace ra::RA_ISA {

constexpr std::size_t few_rows = 64;  // up to so many, the next tile is read ahead: more cannot be under way at once

inline std::size_t pitch_of(std::size_t n) { return n | 1; }

// tile[j / lanes * pitch + i] holds row i at columns begin + j, j < width. Returns whether all values are finite.
template <class T, class C = Compute<T>>
bool stage_vectors(const Rows<T>& rows, std::size_t begin, std::size_t width, Vec<C>* tile) {
    constexpr std::size_t L = lanes<C>;
    const std::size_t pitch = pitch_of(rows.n);
    Vec<C> nothing = {};  // stays 0, or becomes NaN
    for (std::size_t i = 0; i < rows.n; ++i) {
        const T* source = rows.at(i, begin);
        const auto put = [&](std::size_t j, Vec<C> v) {
            nothing += v * C(0);
            tile[j / L * pitch + i] = v;
        };
        const std::size_t whole = width / L * L;
        if (rows.n > few_rows && i + rows_ahead < rows.n) fetch(rows.at(i + rows_ahead, begin), width);
        for (std::size_t j = 0; j < whole; j += L) put(j, widened_vector(source + j));
        if (whole < width) put(whole, widened_part(source + whole, width - whole));
    }
    return !any(~equal(nothing, Vec<C>{}));
}

// Rounding must not leave the box: halves of subnormal numbers are inexact.
template <class T>
inline Vec<T> mean_of(Vec<T> low, Vec<T> high) {
    return max(low, min(high, low * T(0.5) + high * T(0.5)));
}

// Asks for the columns of every row that the next tile will need, so that memory works while this tile is computed.
template <class T>
__attribute__((always_inline)) inline void fetch_columns(const Rows<T>& rows, std::size_t column, std::size_t count) {
    if (column >= rows.d) return;
    for (std::size_t i = 0; i < rows.n; ++i) fetch<l1>(rows.at(i, column), count);
}

// For each tile: stages it, then out = reduce(vectors, n) for each of its column vectors, which reduce may reorder.
template <class T, class Reduce>
bool reduce_columns(const Rows<T>& rows, Result to, int threads, const Reduce& reduce) {
    using C = Compute<T>;
    constexpr std::size_t L = lanes<C>, line = 64 / sizeof(T);
    const bool ahead = rows.n <= few_rows;
    const Tiles tiles(rows.n, rows.d, sizeof(C), threads, ahead ? reading_ahead : TileLimits{});
    const Scratch scratch(tiles.workers(threads), pitch_of(rows.n) * tiles.stride * sizeof(C));
    const std::size_t run = tiles.run(threads), runs = (tiles.count() + run - 1) / run;
    return parallel(runs, threads, [&](std::size_t task, int worker) {
        auto* v = static_cast<Vec<C>*>(scratch.of(worker));
        Output<C> out(to, rows.d);
        const std::size_t last = std::min(tiles.count(), (task + 1) * run);
        for (std::size_t t = task * run; t < last; ++t) {
            const std::size_t begin = tiles.begin(t), width = tiles.width(t);
            if (!stage_vectors(rows, begin, width, v)) return false;
            out.start(begin);
            for (std::size_t j = 0; j < width; j += L) {
                if (ahead && j % line == 0 && t + 1 < last)
                    fetch_columns(rows, begin + tiles.stride + j, std::max(L, line));
                out.put(begin + j, reduce(v + j / L * pitch_of(rows.n), static_cast<int>(rows.n)), width - j);
            }
            out.complete(width);
        }
        out.finish();
        return true;
    });
}

}  // namespace ra::RA_ISA

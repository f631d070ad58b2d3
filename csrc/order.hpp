// Tiles for the kernels that order each column: [column vector][row][lane], so that the n values of a few neighbouring
// columns lie next to each other and a network can run where they are.
#pragma once

#include "networks.hpp"
#include "stage.hpp"

namespace ra::RA_ISA {

// tile[(j / lanes) * n + i] holds row i at columns begin + j of `width`, zero padded to a whole vector.
// Returns whether all values are finite.
template <class T, class C = Compute<T>>
bool stage_vectors(const Rows<T>& rows, std::size_t begin, std::size_t width, Vec<C>* tile) {
    constexpr std::size_t L = lanes<C>;
    Vec<C> nothing = {};  // stays 0, or becomes NaN
    alignas(64) C values[L];
    for (std::size_t i = 0; i < rows.n; ++i) {
        const T* source = rows.at(i, begin);
        for (std::size_t j = 0; j < width; j += L) {
            if (width - j < L) std::fill(values, values + L, C(0));
            widen(source + j, std::min(L, width - j), values);
            const Vec<C> v = load_vector(values);
            nothing += v - v;
            tile[j / L * rows.n + i] = v;
        }
    }
    return !any(~equal(nothing, Vec<C>{}));
}

// For each tile: stages it, then out = reduce(vectors, n) for each of its column vectors, which reduce may reorder.
template <class T, class Reduce>
bool reduce_columns(const Rows<T>& rows, Compute<T>* out, int threads, const Reduce& reduce) {
    using C = Compute<T>;
    constexpr std::size_t L = lanes<C>;
    const Tiles tiles(rows.n, rows.d, sizeof(C), threads);
    const Scratch scratch(tiles.workers(threads), rows.n * tiles.stride * sizeof(C));
    return parallel(tiles.count(), threads, [&](std::size_t task, int worker) {
        auto* tile = static_cast<Vec<C>*>(scratch.of(worker));
        const std::size_t begin = tiles.begin(task), width = tiles.width(task);
        if (!stage_vectors(rows, begin, width, tile)) return false;
        for (std::size_t j = 0; j < width; j += L) {
            alignas(64) C results[L];
            store_vector(results, reduce(tile + j / L * rows.n, static_cast<int>(rows.n)));
            std::copy(results, results + std::min(L, width - j), out + begin + j);
        }
        return true;
    });
}

}  // namespace ra::RA_ISA

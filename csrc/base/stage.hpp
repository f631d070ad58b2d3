// Tiles: the same few hundred coordinates of all n rows, copied next to each other in the compute type. Reading less
// than about 1 KiB of a row at a time wastes most of the memory's bandwidth; a tile is also what fits the L2 cache.
#pragma once

#include <algorithm>

#include "base/parallel.hpp"
#include "base/widen.hpp"

namespace ra::RA_ISA {

constexpr std::size_t chunk = 64;  // widths of tiles are multiples of it: a word of bits, a whole number of vectors

inline std::size_t whole_chunks(std::size_t count) { return (count + chunk - 1) / chunk * chunk; }

// Asks memory for `count` elements that will be read soon: into the L2 cache, where more can be under way, or, for few
// rows, into the L1 cache.
// (GCC takes a function that only prefetches for one without effects, and removes calls that are not inlined early.)
enum Cache { l2 = 2, l1 = 3 };
template <Cache cache = l2, class T>
__attribute__((always_inline)) inline void fetch(const T* source, std::size_t count) {
    for (std::size_t j = 0; j < count; j += 64 / sizeof(T)) __builtin_prefetch(source + j, 0, cache);
}

constexpr std::size_t rows_ahead = 4;  // while a row of a tile is copied, this many later is asked for

// Columns `begin` to `begin + chunk` of row i of the bits, of which the row's last word has fewer.
inline std::uint64_t word_of_bits(const Bits& bits, std::size_t i, std::size_t begin) {
    const std::uint8_t* from = bits.bytes + i * bits.row_bytes + begin / 8;
    const std::size_t left = bits.row_bytes - begin / 8;
    std::uint64_t word = 0;
    if (left >= sizeof word)
        std::memcpy(&word, from, sizeof word);
    else
        for (std::size_t k = left; k-- > 0;) word = word << 8 | from[k];
    return word;
}

// How large tiles may become, in bytes and in columns. Small ones suit kernels that read ahead, so that the next tile
// fits the cache beside this one.
struct TileLimits {
    std::size_t bytes = 512 * 1024, narrow = 256, wide = 1024;
};
constexpr TileLimits reading_ahead = {128 * 1024, 64, 256};
constexpr std::size_t worth_a_thread = 4096;  // values of a tile: waking a thread for fewer takes longer than they do

// How d columns are cut into tiles of `stride` columns. Results do not depend on it.
struct Tiles {
    std::size_t d, stride;

    Tiles(std::size_t n, std::size_t d_, std::size_t value_bytes, int threads, TileLimits limits = {}) : d(d_) {
        const std::size_t fitting = std::max(chunk, limits.bytes / (n * value_bytes) / chunk * chunk);
        const std::size_t share = whole_chunks(d / (4 * static_cast<std::size_t>(threads)) + 1);
        const std::size_t least = std::max(limits.narrow, whole_chunks(worth_a_thread / n));
        stride = std::min({fitting, limits.wide, std::max(share, least)});
    }
    std::size_t count() const { return (d + stride - 1) / stride; }
    std::size_t begin(std::size_t tile) const { return tile * stride; }
    std::size_t width(std::size_t tile) const { return std::min(stride, d - begin(tile)); }
    // Neighbouring tiles that a worker takes at once, so that it knows which comes next and can read ahead.
    std::size_t run(int threads) const {
        return std::clamp<std::size_t>(count() / (8 * static_cast<std::size_t>(threads)), 1, 64);
    }
    int workers(int threads) const {
        return static_cast<int>(std::min(static_cast<std::size_t>(threads), std::max<std::size_t>(1, count())));
    }
};

// tile[i * stride + j] = value of row i at column begin + j; columns from `width` to `stride` become 0.
// Returns whether all values are finite.
template <class T>
bool stage(const Rows<T>& rows, std::size_t begin, std::size_t width, std::size_t stride, Compute<T>* tile) {
    bool finite = true;
    for (std::size_t i = 0; i < rows.n; ++i) {
        Compute<T>* out = tile + i * stride;
        if (i + rows_ahead < rows.n) fetch(rows.at(i + rows_ahead, begin), width);
        finite &= widen(rows.at(i, begin), width, out);
        std::fill(out + width, out + stride, Compute<T>(0));
    }
    return finite;
}

}  // namespace ra::RA_ISA

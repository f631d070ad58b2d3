// Few rows: their columns are read where they are, straight into registers, and reduced there.
#pragma once

#include "base/output.hpp"
#include "base/shorts.hpp"
#include "base/stage.hpp"
#include "order/networks.hpp"

namespace ra::RA_ISA {

constexpr int in_registers = 16;                  // rows, at most
constexpr std::size_t columns_ahead = 4 * chunk;  // which are asked for while others are computed

// A chunk of columns of up to `most` rows, as it lies in memory, or copied.
template <class T, int most>
class InChunk {
  public:
    // Columns begin ... begin + width - 1, no more than a chunk, and zeros after them. Copied unless it is a whole
    // chunk of T that need not be `owned`. False where a value that was copied for another reason than its type is not
    // finite.
    template <class R>
    bool read(const Rows<R>& rows, std::size_t begin, std::size_t width, bool owned = false) {
        for (std::size_t i = 0; i < rows.n; ++i) {
            const R* from = rows.at(i, begin);
            row_[i] = copy_[i];
            if (width < chunk || owned) {
                if (!widen(from, width, copy_[i])) return false;
                std::fill(copy_[i] + width, copy_[i] + chunk, T(0));
            } else if constexpr (std::is_same_v<R, T>) {
                row_[i] = from;
            } else {
                for (std::size_t j = 0; j < chunk; j += lanes<T>) store_vector(copy_[i] + j, widened_vector(from + j));
                fetch<l1>(from + columns_ahead, chunk);
            }
        }
        return true;
    }
    const T* const* rows() const { return row_; }
    T* owned() { return copy_[0]; }  // row after row

  private:
    const T* row_[most];
    alignas(64) T copy_[most][chunk];
};

template <class T>
__attribute__((noinline)) bool finite_chunk(const T* const* row, std::size_t n) {
    Vec<T> nothing = {};  // stays 0, or becomes NaN
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < chunk; j += lanes<T>) {
            const Vec<T> v = load_vector(row[i] + j);
            nothing += v - v;
        }
    return !any(~equal(nothing, Vec<T>{}));
}

// The first `width` columns of a chunk of n rows. False on a NaN or an infinity, which shows in the sum of all values;
// so does a sum that is too large.
template <class T, int n, class Reduce>
__attribute__((flatten)) bool reduce_chunk(const T* const* row, std::size_t begin, std::size_t width, Output<T>& out,
                                           const Reduce& reduce) {
    Vec<T> nothing = {};
    for (std::size_t j = 0; j < width; j += lanes<T>) {
        Vec<T> v[n], sum = {};
        unroll<n>([&](auto i) {
            v[i] = load_vector(row[i] + j);
            sum += v[i];
            __builtin_prefetch(row[i] + j + columns_ahead, 0, l1);
        });
        nothing += sum - sum;
        out.put(begin + j, reduce(v, Few<n>{}), width - j);
    }
    return !any(~equal(nothing, Vec<T>{})) || finite_chunk(row, n);
}

template <class T, class Reduce, int... k>
auto chunk_reducer(std::size_t n, std::integer_sequence<int, k...>) {
    static constexpr decltype(&reduce_chunk<T, 1, Reduce>) of_size[] = {&reduce_chunk<T, k + 1, Reduce>...};
    return of_size[n - 1];
}

// reduce(begin, width, out) for every chunk of columns; false ends it.
template <class T, class R, class ReduceChunk>
bool reduce_in_chunks(const Rows<R>& rows, Result to, int threads, const ReduceChunk& reduce) {
    const Tiles tiles(rows.n, rows.d, sizeof(T), threads, reading_ahead);
    const std::size_t run = tiles.run(threads) * tiles.stride;
    return parallel((rows.d + run - 1) / run, threads, [&](std::size_t task, int) {
        Output<T> out(to, rows.d);
        const std::size_t end = std::min(rows.d, (task + 1) * run);
        for (std::size_t j = task * run; j < end; j += chunk) {
            const std::size_t width = std::min(chunk, end - j);
            out.start(j);
            if (!reduce(j, width, out)) return false;
            out.complete(width);
        }
        out.finish();
        return true;
    });
}

// The bits of half precision as whole numbers in the order of what they stand for, -0 before 0. Its own inverse.
inline Shorts ordered(Shorts bits) { return bits ^ ((bits >> 15) & splat(Short(0x7fff))); }

template <class R>
constexpr Short infinity_bits = std::is_same_v<R, Half> ? 0x7c00 : 0x7f80;

// A vector of columns of halves, sorted as whole numbers.
using SortHalves = void (*)(const Short* const* row, std::size_t begin, Shorts* sorted);

template <int n>
__attribute__((flatten)) void sort_halves(const Short* const* row, std::size_t begin, Shorts* sorted) {
    Shorts v[n];
    unroll<n>([&](auto i) { v[i] = ordered(load_vector(row[i] + begin)); });
    run_network<n, 0, n>(v);
    unroll<n>([&](auto i) { sorted[i] = v[i]; });
}
template <int... k>
SortHalves halves_sorter(std::size_t n, std::integer_sequence<int, k...>) {
    static constexpr SortHalves of_size[] = {&sort_halves<k + 1>...};
    return of_size[n - 1];
}

template <class R, class Reduce>
bool reduce_halves(const Rows<R>& rows, Result to, int threads, const Reduce& reduce) {
    const int n = static_cast<int>(rows.n);
    const Shorts infinity = splat(infinity_bits<R>);
    const auto sort_n = halves_sorter(rows.n, std::make_integer_sequence<int, in_registers>{});
    return reduce_in_chunks<float>(rows, to, threads, [&](std::size_t begin, std::size_t width, Output<float>& out) {
        const Short* row[in_registers];
        alignas(64) Short copy[in_registers][chunk];
        for (std::size_t i = 0; i < rows.n; ++i) {
            const R* from = rows.at(i, begin);
            row[i] = reinterpret_cast<const Short*>(from);
            fetch<l1>(from + 2 * columns_ahead, chunk);
            if (width == chunk) continue;
            std::memset(copy[i], 0, sizeof copy[i]);
            std::memcpy(copy[i], from, width * sizeof(R));
            row[i] = copy[i];
        }
        for (std::size_t j = 0; j < width; j += lanes<Short>) {
            Shorts sorted[in_registers];
            sort_n(row, j, sorted);
            if (any(less_equal(infinity, sorted[n - 1]) | less_equal(sorted[0], ~infinity))) return false;
            for (int i = reduce.first(n); i < n - reduce.first(n); ++i) sorted[i] = ordered(sorted[i]);
            for (std::size_t k = 0; k < lanes<Short> && j + k < width; k += lanes<float>) {
                const auto rank = [&](int i) { return widened_vector(reinterpret_cast<const R*>(sorted + i) + k); };
                out.put(begin + j + k, reduce.of_sorted(rank, n), width - j - k);
            }
        }
        return true;
    });
}

// out = reduce(values of a vector of columns, Few<n>), which may reorder them; n <= in_registers.
template <class T, class Reduce>
bool reduce_in_registers(const Rows<T>& rows, Result to, int threads, const Reduce& reduce) {
    const auto reduce_n = chunk_reducer<T, Reduce>(rows.n, std::make_integer_sequence<int, in_registers>{});
    return reduce_in_chunks<T>(rows, to, threads, [&](std::size_t begin, std::size_t width, Output<T>& out) {
        InChunk<T, in_registers> chunk_of;
        return chunk_of.read(rows, begin, width) && reduce_n(chunk_of.rows(), begin, width, out, reduce);
    });
}

// Half precision: out = reduce.of_sorted(rank, n), where rank(i) is the vector of the columns' values of rank i, with i
// from reduce.first(n) on, and as far from the other end.
template <class Reduce>
bool reduce_in_registers(const Rows<Half>& rows, Result to, int threads, const Reduce& reduce) {
    return reduce_halves(rows, to, threads, reduce);
}
template <class Reduce>
bool reduce_in_registers(const Rows<BFloat16>& rows, Result to, int threads, const Reduce& reduce) {
    return reduce_halves(rows, to, threads, reduce);
}

}  // namespace ra::RA_ISA

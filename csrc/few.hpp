// Few rows: their columns are read where they are, straight into registers, and reduced there.
#pragma once

#include "output.hpp"
#include "stage.hpp"

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
__attribute__((flatten)) bool reduce_chunk(const T* const* row, std::size_t begin, std::size_t width,
                                           const Output<T>& out, const Reduce& reduce) {
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

// out = reduce(values of a vector of columns, Few<n>), which may reorder them; n <= in_registers.
template <class R, class Reduce, class T = Compute<R>>
bool reduce_few(const Rows<R>& rows, T* to, int threads, const Reduce& reduce) {
    const auto reduce_n = chunk_reducer<T, Reduce>(rows.n, std::make_integer_sequence<int, in_registers>{});
    const Tiles tiles(rows.n, rows.d, sizeof(T), threads, reading_ahead);
    const std::size_t run = tiles.run(threads) * tiles.stride;
    const Output<T> out(to, rows.d);
    return parallel((rows.d + run - 1) / run, threads, [&](std::size_t task, int) {
        InChunk<T, in_registers> chunk_of;
        const std::size_t end = std::min(rows.d, (task + 1) * run);
        for (std::size_t j = task * run; j < end; j += chunk) {
            const std::size_t width = std::min(chunk, end - j);
            if (!chunk_of.read(rows, j, width) || !reduce_n(chunk_of.rows(), j, width, out, reduce)) return false;
        }
        out.finish();
        return true;
    });
}

}  // namespace ra::RA_ISA

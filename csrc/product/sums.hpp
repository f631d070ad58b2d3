// Weighted sums over all rows, in double and in client order, one pass over the rows. A strip of columns at a time, of
// a group of rows at a time: a row is read in runs that memory likes. The sums of a block of columns stay in registers
// while a group is added.
#pragma once

#include "base/means.hpp"
#include "base/output.hpp"
#include "base/stage.hpp"

namespace ra::RA_ISA {

constexpr std::size_t strip = Output<float>::longest;  // columns, at most
constexpr std::size_t block = 8 * lanes<double>;       // columns
constexpr std::size_t one_group = 16, group = 4;       // rows: up to so many are one group, of more each has 4
template <class C>
constexpr int vectors = block / lanes<C>;

// The first `width` results of a block at column `begin`.
template <class C>
inline void put_results(Output<C>& out, std::size_t begin, const Vec<double>* sum, std::size_t width) {
    unroll<vectors<C>>([&](auto v) {
        constexpr std::size_t j = v * lanes<C>;
        if (j < width) out.put(begin + j, finite_result<C>(sum + v * halves<C>), width - j);
    });
}

// Columns begin ... begin + width - 1, no more than a strip. Terms say what is summed:
//     terms.start(begin, width)     a strip
//     terms.ahead(i, end, begin)    rows i ... end - 1 of the strip at column `begin` are read next
//     Block(terms, c, first)        a block at column c of the strip; the first group of rows begins it
//     block.row(i)(v, x)            what is added for row i's vector v of the block, which is x
//     block.keep()                  another group of rows follows. False on a NaN or an infinity
//     block.finish(sum, width)      no other does: the results. False as well
//     terms.finish()                the strip's end
//     terms.out                     the results
template <class Terms, class T>
__attribute__((flatten)) bool sum_strip(const Rows<T>& rows, std::size_t begin, std::size_t width,
                                        const double* weights, Terms& terms) {
    using C = Compute<T>;
    alignas(64) double sums[strip];
    alignas(64) T rest[one_group][block];  // of the rows, where they end before a block does
    const std::size_t whole = width / block * block;
    if (whole < width) std::memset(rest, 0, sizeof rest);
    terms.out.start(begin);
    terms.start(begin, width);
    const std::size_t step = rows.n <= one_group ? one_group : group;
    for (std::size_t i = 0; i < rows.n; i += step) {
        const std::size_t end = std::min(rows.n, i + step);
        for (std::size_t k = i; k < end && whole < width; ++k)
            std::memcpy(rest[k - i], rows.at(k, begin + whole), (width - whole) * sizeof(T));
        // What is read next: the next group, or the first one of the next strip.
        const bool last = end == rows.n;
        const std::size_t next = last ? 0 : end, column = last ? begin + width : begin,
                          next_end = column < rows.d ? std::min(rows.n, next + step) : next;
        terms.ahead(next, next_end, column);
        for (std::size_t c = 0; c < width; c += block) {
            for (std::size_t k = next; k < next_end; ++k) fetch(rows.at(k, column + c), block);
            typename Terms::Block own(terms, c, i == 0);
            Vec<double> sum[vectors<double>] = {};
            if (i > 0) unroll<vectors<double>>([&](auto s) { sum[s] = load_vector(sums + c + s * lanes<double>); });
            for (std::size_t k = i; k < end; ++k) {
                const T* x = c < whole ? rows.at(k, begin + c) : rest[k - i];
                const auto row = own.row(k);
                unroll<vectors<C>>([&](auto v) {
                    add_weighted(row(v, widened_vector(x + v * lanes<C>)), weights[k], sum + v * halves<C>);
                });
            }
            if (last) {
                if (!own.finish(sum, std::min(block, width - c))) return false;
            } else {
                if (!own.keep()) return false;
                unroll<vectors<double>>([&](auto s) { store_vector(sums + c + s * lanes<double>, sum[s]); });
            }
        }
    }
    terms.finish();
    terms.out.complete(width);
    return true;
}

// Sums the rows; terms_of(worker) are a thread's terms. It takes a few neighbouring strips, so that it may read ahead.
template <class T, class TermsOf>
bool sum_rows(const Rows<T>& rows, const double* weights, int most_threads, const TermsOf& terms_of) {
    const int threads = threads_for(rows, 0.2, most_threads);
    const Tiles strips(rows.n, rows.d, sizeof(Compute<T>), threads, {~std::size_t{0}, 256, strip});
    const std::size_t run = strips.run(threads);
    return parallel((strips.count() + run - 1) / run, threads, [&](std::size_t task, int worker) {
        const FlushSubnormals flush;
        auto terms = terms_of(worker);
        for (std::size_t s = task * run; s < std::min(strips.count(), (task + 1) * run); ++s)
            if (!sum_strip(rows, strips.begin(s), strips.width(s), weights, terms)) return false;
        terms.out.finish();
        return true;
    });
}

}  // namespace ra::RA_ISA

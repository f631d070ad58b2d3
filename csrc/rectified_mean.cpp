// mean[j] = sum_i weights[i] * y[i][j], with y the rescaled value, or median[j] where it was rejected: spec A.8, C.3.
// Accumulated in double and in client order. One pass over the rows; a chunk of 64 columns of which one spans more
// than the value range is read again, from the cache, and rescaled. O(nd).
#include "means.hpp"
#include "rectified.hpp"

namespace ra::RA_ISA {

namespace {

// What a worker keeps of a strip: sums and extremes of its columns, and copies padded to whole chunks.
template <class C>
struct Strip {
    alignas(64) double sum[strip];
    alignas(64) C low[strip], high[strip], median[strip], row[strip], kept[chunk];
};

template <class C>
inline void add_chunk(const C* y, double weight, double* __restrict sum) {
    for (std::size_t j = 0; j < chunk; ++j) sum[j] += weight * static_cast<double>(y[j]);
}

// `count` elements in the compute type, with zeros up to a whole chunk.
template <class T>
const Compute<T>* padded(const T* source, std::size_t count, Compute<T>* buffer) {
    if (count % chunk == 0) return viewed(source, count, buffer);
    widen(source, count, buffer);
    std::fill(buffer + count, buffer + whole_chunks(count), Compute<T>(0));
    return buffer;
}

// Sums and extremes of the rows as they are. Returns whether all values are finite.
template <class T, class C = Compute<T>>
bool add_rows(const Rows<T>& rows, std::size_t begin, std::size_t width, const Bits& rejected, const double* weights,
              Strip<C>& s) {
    Vec<C> nothing = {};  // stays 0, or becomes NaN
    for (std::size_t i = 0; i < rows.n; ++i) {
        const C* y = padded(rows.at(i, begin), width, s.row);
        for (std::size_t c = 0; c < width; c += chunk) {
            for (std::size_t j = c; j < c + chunk; j += lanes<C>) {
                const Vec<C> v = load_vector(y + j);
                nothing += v - v;
                store_vector(s.low + j, min(v, load_vector(s.low + j)));
                store_vector(s.high + j, max(v, load_vector(s.high + j)));
            }
            rectify_chunk(y + c, s.median + c, word_of_bits(rejected, i, begin + c), s.kept);
            add_chunk(s.kept, weights[i], s.sum + c);
        }
    }
    return bits(equal(nothing, Vec<C>{})) == bits(equal(Vec<C>{}, Vec<C>{}));
}

// The sums of one chunk again, of the rescaled values.
template <class T, class C = Compute<T>>
void add_rescaled(const Rows<T>& rows, std::size_t begin, const Bits& rejected, const double* weights,
                  const Rescale& rescale, const C* median, double* sum, C* work) {
    alignas(64) C kept[chunk];
    C* y = work + rows.n * chunk;
    rescaled_chunk(rows, begin, rescale, y, work);
    std::fill(sum, sum + chunk, 0.0);
    for (std::size_t i = 0; i < rows.n; ++i) {
        rectify_chunk(y + i * chunk, median, word_of_bits(rejected, i, begin), kept);
        add_chunk(kept, weights[i], sum);
    }
}

template <class C>
bool any_wide(const Strip<C>& s, std::size_t begin, double range) {
    bool wide = false;
    for (std::size_t j = begin; j < begin + chunk; ++j)
        wide |= static_cast<double>(s.high[j]) - static_cast<double>(s.low[j]) > range;
    return wide;
}

template <class T, class C = Compute<T>>
bool mean_strip(const Rows<T>& rows, std::size_t begin, std::size_t width, const Bits& rejected, const double* weights,
                const Rescale& rescale, C* median_to_mean, void* scratch) {
    auto& s = *static_cast<Strip<C>*>(scratch);
    std::fill(s.sum, s.sum + strip, 0.0);
    std::fill(s.low, s.low + strip, std::numeric_limits<C>::infinity());
    std::fill(s.high, s.high + strip, -std::numeric_limits<C>::infinity());
    std::copy(median_to_mean, median_to_mean + width, s.median);
    if (!add_rows(rows, begin, width, rejected, weights, s)) return false;
    for (std::size_t c = 0; c < width && rows.n > 2; c += chunk)
        if (any_wide(s, c, rescale.value_range))
            add_rescaled(rows, begin + c, rejected, weights, rescale, s.median + c, s.sum + c,
                         reinterpret_cast<C*>(&s + 1));
    store_clamped(s.sum, width, median_to_mean);
    return true;
}

}  // namespace

bool rectified_mean(const RowsView& view, Bits rejected, const double* weights, const Rescale& rescale,
                    void* median_to_mean, int threads) {
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        auto* out = static_cast<C*>(median_to_mean);
        const Scratch scratch(threads, sizeof(Strip<C>) + 2 * rows.n * chunk * sizeof(C));
        return parallel((rows.d + strip - 1) / strip, threads, [&](std::size_t task, int worker) {
            const FlushSubnormals flush;
            const std::size_t begin = task * strip;
            return mean_strip(rows, begin, std::min(strip, rows.d - begin), rejected, weights, rescale, out + begin,
                              scratch.of(worker));
        });
    });
}

}  // namespace ra::RA_ISA

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
    alignas(64) C low[strip], high[strip], median[strip], row[group][strip];
};

template <class C>
struct Group {
    const C* row[group];
    double weight[group];
    std::uint64_t rejected[group];
};

// Adds `count` rows to the chunk at column c of the strip, or begins it with them.
template <int count, bool first, class C>
inline void add_chunk(const Group<C>& added, std::size_t c, Strip<C>& s, Vec<C>& nothing) {
    constexpr std::size_t halves = sizeof(double) / sizeof(C);
    for (std::size_t j = c; j < c + chunk; j += lanes<C>) {
        const Vec<C> median = load_vector(s.median + j);
        Vec<C> low = load_vector(first ? added.row[0] + j : s.low + j), high = first ? low : load_vector(s.high + j);
        Vec<double> sum[halves] = {};
        for (std::size_t h = 0; h < halves && !first; ++h) sum[h] = load_vector(s.sum + j + h * lanes<double>);
        for (int g = 0; g < count; ++g) {
            const Vec<C> v = load_vector(added.row[g] + j);
            nothing += v - v;
            low = min(v, low);
            high = max(v, high);
            add_weighted(choose(mask_of<C>(added.rejected[g] >> (j - c)), median, v), added.weight[g], sum);
        }
        store_vector(s.low + j, low);
        store_vector(s.high + j, high);
        for (std::size_t h = 0; h < halves; ++h) store_vector(s.sum + j + h * lanes<double>, sum[h]);
    }
}

// `count` elements in the compute type, with zeros up to a whole chunk.
template <class T>
const Compute<T>* padded(const T* source, std::size_t count, Compute<T>* buffer) {
    if (count % chunk == 0) return viewed(source, count, buffer);
    widen(source, count, buffer);
    std::fill(buffer + count, buffer + whole_chunks(count), Compute<T>(0));
    return buffer;
}

// Asks for the bits of the rows that are read next: they lie too far apart for the processor to foresee.
template <class T>
__attribute__((always_inline)) inline void fetch_bits(const Rows<T>& rows, std::size_t i, std::size_t begin,
                                                      const Bits& rejected) {
    for (std::size_t g = i; g < std::min(rows.n, i + group); ++g)
        fetch(rejected.bytes + g * rejected.row_bytes + begin / 8, strip / 8 + 1);
}

template <int count, bool first, class T, class C = Compute<T>>
void add_group(const Rows<T>& rows, std::size_t i, std::size_t begin, std::size_t width, const Bits& rejected,
               const double* weights, Strip<C>& s, Vec<C>& nothing) {
    Group<C> added;
    for (int g = 0; g < count; ++g) {
        added.row[g] = padded(rows.at(i + g, begin), width, s.row[g]);
        added.weight[g] = weights[i + g];
    }
    const Ahead<T> ahead(rows, i + count, begin);
    if (i + count < rows.n)
        fetch_bits(rows, i + count, begin, rejected);
    else
        fetch_bits(rows, 0, begin + strip, rejected);
    for (std::size_t c = 0; c < width; c += chunk) {
        ahead.fetch_chunk(c);
        for (int g = 0; g < count; ++g) added.rejected[g] = word_of_bits(rejected, i + g, begin + c);
        add_chunk<count, first>(added, c, s, nothing);
    }
}

// Sums and extremes of the rows as they are. Returns whether all values are finite.
template <class T, class C = Compute<T>>
bool add_rows(const Rows<T>& rows, std::size_t begin, std::size_t width, const Bits& rejected, const double* weights,
              Strip<C>& s) {
    Vec<C> nothing = {};  // stays 0, or becomes NaN
    for (std::size_t i = 0; i < rows.n; i += group) {
        const auto add = [&](auto count) {
            if (i == 0)
                add_group<count, true>(rows, i, begin, width, rejected, weights, s, nothing);
            else
                add_group<count, false>(rows, i, begin, width, rejected, weights, s, nothing);
        };
        in_group(rows.n - i, add);
    }
    return !any(~equal(nothing, Vec<C>{}));
}

// The sums of one chunk again, of the rescaled values.
template <class T, class C = Compute<T>>
void add_rescaled(const Rows<T>& rows, std::size_t begin, const Bits& rejected, const double* weights,
                  const Rescale& rescale, const C* median, double* sum, C* y) {
    alignas(64) C kept[chunk];
    rescaled_chunk(rows, begin, rescale, y);
    std::fill(sum, sum + chunk, 0.0);
    for (std::size_t i = 0; i < rows.n; ++i) {
        rectify_chunk(y + i * chunk, median, word_of_bits(rejected, i, begin), kept);
        for (std::size_t j = 0; j < chunk; ++j) sum[j] += weights[i] * static_cast<double>(kept[j]);
    }
}

// Whether any of a chunk's columns spans more than the value range.
template <class C>
bool any_spans(const C* low, const C* high, double value_range) {
    bool found = false;
    for (std::size_t j = 0; j < chunk; j += lanes<C>)
        found |= any(spans(load_vector(low + j), load_vector(high + j), value_range));
    return found;
}

template <class T, class C = Compute<T>>
bool mean_strip(const Rows<T>& rows, std::size_t begin, std::size_t width, const Bits& rejected, const double* weights,
                const Rescale& rescale, C* median_to_mean, void* scratch) {
    auto& s = *static_cast<Strip<C>*>(scratch);
    std::copy(median_to_mean, median_to_mean + width, s.median);
    if (!add_rows(rows, begin, width, rejected, weights, s)) return false;
    for (std::size_t c = 0; c < width && rows.n > 2; c += chunk)
        if (any_spans(s.low + c, s.high + c, rescale.value_range))
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
        const Scratch scratch(threads, sizeof(Strip<C>) + rescaled_bytes<C>(rows.n));
        return for_strips(rows.d, threads, [&](std::size_t begin, std::size_t width, int worker) {
            return mean_strip(rows, begin, width, rejected, weights, rescale, out + begin, scratch.of(worker));
        });
    });
}

}  // namespace ra::RA_ISA

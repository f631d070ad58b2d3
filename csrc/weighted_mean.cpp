// out[j] = sum_i weights[i] * rows[i][j], accumulated in double and in client order; one pass over the rows, O(nd).
// Finite input gives finite output: weights sum to 1, and what rounding carries past the largest number is clamped.
#include "means.hpp"

namespace ra::RA_ISA {

namespace {

template <class T>
bool finite_rows(const Rows<T>& rows, std::size_t begin, std::size_t width) {
    Compute<T> values[strip];
    for (std::size_t i = 0; i < rows.n; ++i)
        if (!widen(rows.at(i, begin), width, values)) return false;
    return true;
}

// sum[j] += w[0] * x[0][j] + ... + w[count - 1] * x[count - 1][j], one after the other.
template <int count, class C>
inline void add_values(const C* const* x, const double* w, std::size_t begin, std::size_t end, double* __restrict sum) {
    for (std::size_t j = begin; j < end; ++j) {
        double s = sum[j];
        for (int i = 0; i < count; ++i) s += w[i] * static_cast<double>(load(x[i] + j));
        sum[j] = s;
    }
}

template <int count, class T>
void add_group(const Rows<T>& rows, std::size_t i, std::size_t begin, std::size_t width, const double* weights,
               double* sum) {
    alignas(64) Compute<T> buffer[count][strip];
    const Compute<T>* x[count];
    for (int g = 0; g < count; ++g) x[g] = viewed(rows.at(i + g, begin), width, buffer[g]);
    const Ahead<T> ahead(rows, i + count, begin);
    std::size_t c = 0;
    for (; c + chunk <= width; c += chunk) {
        ahead.fetch_chunk(c);
        add_values<count>(x, weights + i, c, c + chunk, sum);
    }
    add_values<count>(x, weights + i, c, width, sum);
}

template <class T>
bool mean_strip(const Rows<T>& rows, std::size_t begin, std::size_t width, const double* weights, Compute<T>* out) {
    alignas(64) double sum[strip] = {};
    for (std::size_t i = 0; i < rows.n; i += group)
        in_group(rows.n - i, [&](auto count) { add_group<count>(rows, i, begin, width, weights, sum); });
    store_clamped(sum, width, out);
    // A NaN or an infinity shows in the sum whatever its weight. So does an overflow of double, which is none.
    return all_finite(sum, width) || (std::is_same_v<T, double> && finite_rows(rows, begin, width));
}

}  // namespace

bool weighted_mean(const RowsView& view, const double* weights, void* out, int threads) {
    return visit(view, [&](auto rows) {
        auto* to = static_cast<typename decltype(rows)::Value*>(out);
        return for_strips(rows.d, threads, [&](std::size_t begin, std::size_t width, int) {
            return mean_strip(rows, begin, width, weights, to + begin);
        });
    });
}

}  // namespace ra::RA_ISA

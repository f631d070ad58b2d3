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
void add(const C* const* x, const double* w, std::size_t width, double* __restrict sum) {
    for (std::size_t j = 0; j < width; ++j) {
        double s = sum[j];
        for (int i = 0; i < count; ++i) s += w[i] * static_cast<double>(load(x[i] + j));
        sum[j] = s;
    }
}

template <class T>
bool mean_strip(const Rows<T>& rows, std::size_t begin, std::size_t width, const double* weights, Compute<T>* out) {
    constexpr std::size_t group = 4;
    alignas(64) double sum[strip] = {};
    alignas(64) Compute<T> buffer[group][strip];
    const Compute<T>* x[group];
    std::size_t i = 0;
    for (; i + group <= rows.n; i += group) {
        for (std::size_t g = 0; g < group; ++g) x[g] = viewed(rows.at(i + g, begin), width, buffer[g]);
        add<group>(x, weights + i, width, sum);
    }
    for (; i < rows.n; ++i) {
        x[0] = viewed(rows.at(i, begin), width, buffer[0]);
        add<1>(x, weights + i, width, sum);
    }
    store_clamped(sum, width, out);
    // A NaN or an infinity shows in the sum whatever its weight. So does an overflow of double, which is none.
    return all_finite(sum, width) || (std::is_same_v<T, double> && finite_rows(rows, begin, width));
}

}  // namespace

bool weighted_mean(const RowsView& view, const double* weights, void* out, int threads) {
    return visit(view, [&](auto rows) {
        auto* to = static_cast<typename decltype(rows)::Value*>(out);
        return parallel((rows.d + strip - 1) / strip, threads, [&](std::size_t task, int) {
            const FlushSubnormals flush;
            const std::size_t begin = task * strip;
            return mean_strip(rows, begin, std::min(strip, rows.d - begin), weights, to + begin);
        });
    });
}

}  // namespace ra::RA_ISA

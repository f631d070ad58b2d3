// counts[i][a][k] = how many values of row i have the bits k at `shift` of their magnitude's key, among those whose
// higher bits are prefixes[i]; a is 1 where the value has the sign that signs[j] names for its column, else 0. Counts,
// refined from the highest bits down, find the k-th largest magnitude. O(nd), whole numbers.
#include "base/stage.hpp"
#include "count/keys.hpp"

namespace ra::RA_ISA {

namespace {

template <class C>
void count_strip(const C* values, const std::int8_t* signs, std::size_t width, int shift, int bits,
                 std::uint32_t prefix, std::int64_t* counts) {
    const std::uint32_t mask = (1U << bits) - 1;
    for (std::size_t j = 0; j < width; ++j) {
        const std::uint32_t key = key_of(values[j]) >> shift;
        const bool agrees = (values[j] > C(0)) - (values[j] < C(0)) == signs[j];
        if (key >> bits == prefix) ++counts[(static_cast<std::size_t>(agrees) << bits) + (key & mask)];
    }
}

}  // namespace

bool magnitude_counts(const RowsView& view, const std::int8_t* signs, int shift, int bits, const std::int64_t* prefixes,
                      std::int64_t* counts, int threads) {
    threads = threads_for(view, 1, threads);
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        constexpr std::size_t strip = 1024;
        return parallel(rows.n, threads, [&](std::size_t i, int) {
            alignas(64) C values[strip];
            std::int64_t* own = counts + (i * 2 << bits);
            std::fill(own, own + (std::size_t{2} << bits), 0);
            bool finite = true;
            for (std::size_t begin = 0; begin < rows.d; begin += strip) {
                const std::size_t width = std::min(strip, rows.d - begin);
                finite &= widen(rows.at(i, begin), width, values);
                count_strip(values, signs + begin, width, shift, bits, static_cast<std::uint32_t>(prefixes[i]), own);
            }
            return finite;
        });
    });
}

}  // namespace ra::RA_ISA

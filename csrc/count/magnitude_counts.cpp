// counts[i][a][k] = how many values of row i have the bits k at `shift` of their magnitude's key, among those whose
// higher bits are prefixes[i]; a is 1 where the value has the sign that signs[j] names for its column, else 0. Counts,
// refined from the highest bits down, find the k-th largest magnitude. O(nd), whole numbers.
#include "base/stage.hpp"
#include "count/keys.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t strip = 1024;
constexpr std::size_t many = 8192;        // columns from which on more than one copy of the counts is worth its sum
constexpr std::size_t stretch = 1 << 30;  // columns of which a count of 32 bits knows no overflow

// What is counted: where a value belongs, and one place more for values with another prefix.
struct Places {
    int shift, bits;
    std::uint32_t prefix;

    std::size_t size() const { return std::size_t{2} << bits; }

    template <class C>
    void of(const C* values, const std::int8_t* signs, std::size_t width, std::uint32_t* out) const {
        const std::uint32_t mask = (1U << bits) - 1, elsewhere = 2U << bits;
        for (std::size_t j = 0; j < width; ++j) {
            const std::uint32_t key = key_of(values[j]) >> shift;
            const auto agrees = static_cast<std::uint32_t>((values[j] > C(0)) - (values[j] < C(0)) == signs[j]);
            out[j] = key >> bits == prefix ? (agrees << bits) + (key & mask) : elsewhere;
        }
    }
};

// Magnitudes are alike, and a count waits for the one before it at the same place: so there are copies in turn.
template <int copies>
void count_in(const std::uint32_t* places, std::size_t width, std::uint32_t* counts) {
    std::size_t j = 0;
    for (; j + copies <= width; j += copies) unroll<copies>([&](auto c) { ++counts[places[j + c] * copies + c]; });
    for (; j < width; ++j) ++counts[places[j] * copies];
}

template <int copies, class Rows>
bool count_row(const Rows& rows, std::size_t i, const std::int8_t* signs, const Places& where, std::uint32_t* own,
               std::int64_t* counts) {
    using C = typename Rows::Value;
    alignas(64) C values[strip];
    alignas(64) std::uint32_t places[strip];
    std::fill_n(counts, where.size(), 0);
    bool finite = true;
    for (std::size_t from = 0; from < rows.d; from += stretch) {
        std::fill_n(own, (where.size() + 1) * copies, 0);
        const std::size_t end = std::min(from + stretch, rows.d);
        for (std::size_t begin = from; begin < end; begin += strip) {
            const std::size_t width = std::min(strip, end - begin);
            finite &= widen(rows.at(i, begin), width, values);
            where.of(values, signs + begin, width, places);
            count_in<copies>(places, width, own);
        }
        for (std::size_t k = 0; k < where.size(); ++k)
            for (int c = 0; c < copies; ++c) counts[k] += own[k * copies + c];
    }
    return finite;
}

}  // namespace

bool magnitude_counts(const RowsView& view, const std::int8_t* signs, int shift, int bits, const std::int64_t* prefixes,
                      std::int64_t* counts, int threads) {
    threads = threads_for(view, 0.6, threads);
    return visit(view, [&](auto rows) {
        const Places any{shift, bits, 0};
        const bool few = rows.d < many;
        const Scratch scratch(threads, (any.size() + 1) * (few ? 1 : 4) * sizeof(std::uint32_t));
        return parallel(rows.n, threads, [&](std::size_t i, int worker) {
            const Places where{shift, bits, static_cast<std::uint32_t>(prefixes[i])};
            auto* own = static_cast<std::uint32_t*>(scratch.of(worker));
            std::int64_t* out = counts + i * where.size();
            return few ? count_row<1>(rows, i, signs, where, own, out) : count_row<4>(rows, i, signs, where, own, out);
        });
    });
}

}  // namespace ra::RA_ISA

// counts[i][k] = in how many columns rows i and k have the same sign, less in how many opposite ones; of row i only
// values whose magnitude's key (see magnitude_counts.cpp) is at least keys[i] have a sign. The rows are read once, a
// piece of the columns at a time, for which the few signs are listed column by column. O(nd), and a step for every two
// of a list.
#include "base/stage.hpp"
#include "count/keys.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t piece = 256;  // columns at a time: their lists are to stay in the caches

// The signs of a piece: of column j the first many[j] of list j, each 1 + i, or minus that.
class SignLists {
  public:
    SignLists(std::int32_t* lists, std::size_t n) : n_(n), lists_(lists) {}

    void clear() {
        std::fill(many_, many_ + piece, 0);
        std::fill(reached_, reached_ + piece / 64, 0);
    }

    // `values` are whole vectors, zeros beyond the columns: what is 0 has no sign.
    template <class C>
    void add(std::size_t i, const C* values, std::size_t width, std::int32_t least) {
        const auto mark = static_cast<std::int32_t>(i + 1);
        const Vec<C> bound = splat(of_key<C>(least));
        for (std::size_t begin = 0; begin < width; begin += lanes<C>) {
            unsigned reached = bits(less_equal(bound, abs(load_vector(values + begin))));
            reached_[begin / 64] |= static_cast<std::uint64_t>(reached) << begin % 64;
            for (; reached != 0; reached &= reached - 1) {  // few are
                const std::size_t j = begin + static_cast<std::size_t>(__builtin_ctz(reached));
                if (values[j] != C(0)) lists_[j * n_ + many_[j]++] = values[j] > C(0) ? mark : -mark;
            }
        }
    }

    void count(std::int64_t* counts) const {
        for (std::size_t begin = 0; begin < piece; begin += 64)
            for (std::uint64_t left = reached_[begin / 64]; left != 0; left &= left - 1)
                count_column(begin + static_cast<std::size_t>(__builtin_ctzll(left)), counts);
    }

  private:
    void count_column(std::size_t j, std::int64_t* counts) const {
        const std::int32_t* list = lists_ + j * n_;
        for (std::int32_t a = 0; a < many_[j]; ++a)
            for (std::int32_t b = 0; b <= a; ++b)  // ascending: the lower triangle
                counts[(std::abs(list[a]) - 1) * n_ + std::abs(list[b]) - 1] += (list[a] ^ list[b]) < 0 ? -1 : 1;
    }

    std::size_t n_;
    std::int32_t* lists_;
    std::int32_t many_[piece];
    std::uint64_t reached_[piece / 64];  // columns in which there may be a sign
};

}  // namespace

bool agreements(const RowsView& view, const std::int64_t* keys, std::int64_t* counts, int threads) {
    return visit(view, [&](auto rows) {
        using C = typename decltype(rows)::Value;
        const std::size_t n = rows.n;
        const Scratch scratch(threads, n * n * sizeof(std::int64_t));  // each worker counts for itself
        const Scratch lists(threads, piece * n * sizeof(std::int32_t));
        const auto of = [&](int worker) { return static_cast<std::int64_t*>(scratch.of(worker)); };
        for (int w = 0; w < threads; ++w) std::fill(of(w), of(w) + n * n, 0);
        const bool finite = parallel((rows.d + piece - 1) / piece, threads, [&](std::size_t task, int worker) {
            const std::size_t begin = task * piece, width = std::min(piece, rows.d - begin);
            alignas(64) C values[piece] = {};
            SignLists signs(static_cast<std::int32_t*>(lists.of(worker)), n);
            signs.clear();
            bool good = true;
            for (std::size_t i = 0; i < n; ++i) {
                good &= widen(rows.at(i, begin), width, values);
                signs.add(i, values, width, static_cast<std::int32_t>(keys[i]));
            }
            signs.count(of(worker));
            return good;
        });
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t k = 0; k <= i; ++k) {
                std::int64_t total = 0;
                for (int w = 0; w < threads; ++w) total += of(w)[i * n + k];
                counts[i * n + k] = counts[k * n + i] = total;
            }
        return finite;
    });
}

}  // namespace ra::RA_ISA

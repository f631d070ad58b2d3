// out[j] = sum_i weights[i] * rows[i][j], accumulated in double and in client order; one pass over the rows, O(nd).
// Finite input gives finite output: weights sum to 1, and what rounding carries past the largest number is clamped.
#include "product/sums.hpp"

namespace ra::RA_ISA {

namespace {

template <class T, class C = Compute<T>>
struct Values {
    const Rows<T>& rows;
    Output<C> out;
    std::size_t begin = 0;

    void start(std::size_t strip_begin, std::size_t) { begin = strip_begin; }
    void ahead(std::size_t, std::size_t, std::size_t) const {}
    void finish() const {}

    class Block {
      public:
        Block(Values& values, std::size_t column, bool) : values_(values), begin_(values.begin + column) {}

        auto row(std::size_t) const {
            return [](auto, Vec<C> x) { return x; };
        }
        bool keep() const { return true; }
        // A NaN or an infinity shows in the sum whatever its weight. So does an overflow of double, which is none.
        bool finish(const Vec<double>* sum, std::size_t width) {
            put_results(values_.out, begin_, sum, width);
            Vec<double> nothing = {};
            unroll<vectors<double>>([&](auto s) { nothing += sum[s] - sum[s]; });
            return !any(~equal(nothing, Vec<double>{})) || (std::is_same_v<T, double> && finite(width));
        }

      private:
        bool finite(std::size_t width) const {
            C values[block];
            for (std::size_t i = 0; i < values_.rows.n; ++i)
                if (!widen(values_.rows.at(i, begin_), width, values)) return false;
            return true;
        }

        Values& values_;
        const std::size_t begin_;
    };
};

}  // namespace

bool weighted_mean(const RowsView& view, const double* weights, Result out, int threads) {
    return visit(view, [&](const auto& rows) {
        using T = typename std::decay_t<decltype(rows)>::Element;
        return sum_rows(rows, weights, threads, [&](int) { return Values<T>{rows, Output<Compute<T>>(out, rows.d)}; });
    });
}

}  // namespace ra::RA_ISA

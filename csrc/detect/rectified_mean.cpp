// mean[j] = sum_i weights[i] * y[i][j], with y the rescaled value, or median[j] where it was rejected: spec A.8, C.3.
// Accumulated in double and in client order. One pass over the rows; chunks with a value so large that a column might
// span more than the value range are read again, from the cache, and rescaled. O(nd).
#include "detect/rectified.hpp"
#include "product/sums.hpp"

namespace ra::RA_ISA {

namespace {

template <class T, class C = Compute<T>>
class Rectified {
  public:
    Rectified(const Rows<T>& rows, const Bits& rejected, const void* median, const double* weights,
              const Rescale& rescale, Result result, void* memory)
        : out(result, rows.d),
          rows_(rows),
          rejected_(rejected),
          medians_(static_cast<const C*>(median)),
          weights_(weights),
          rescale_(rescale),
          within_(always_within<C>(rows.n, rescale)),
          rescaled_(static_cast<C*>(memory)) {}

    void start(std::size_t begin, std::size_t width) {
        begin_ = begin;
        std::copy_n(medians_ + begin, width, median_);
        std::fill(median_ + width, median_ + whole_chunks(width), C(0));
        large_chunks_ = 0;
    }
    // The bits of rows lie too far apart for the processor to foresee.
    void ahead(std::size_t i, std::size_t end, std::size_t begin) const {
        for (; i < end; ++i) fetch(rejected_.bytes + i * rejected_.row_bytes + begin / 8, strip / 8 + 1);
    }
    void finish() {
        for (; large_chunks_ != 0; large_chunks_ &= large_chunks_ - 1)
            rescale_chunk(static_cast<std::size_t>(__builtin_ctzll(large_chunks_)) * chunk);
    }

    class Block {
      public:
        Block(Rectified& terms, std::size_t column, bool first) : terms_(terms), column_(column) {
            unroll<vectors<C>>([&](auto v) {
                median_[v] = load_vector(terms.median_ + column + v * lanes<C>);
                largest_[v] = first ? Vec<C>{} : terms.largest_[column / block];
            });
        }
        auto row(std::size_t i) {
            const std::uint64_t word = word_of_bits(terms_.rejected_, i, terms_.begin_ + column_);
            return [this, word](auto v, Vec<C> x) {
                nothing_ += x - x;
                largest_[v] = larger<Signs::none>(abs(x), largest_[v]);
                return choose(mask_of<C>(word >> (v * lanes<C>)), median_[v], x);
            };
        }
        bool keep() const {
            terms_.largest_[column_ / block] = largest();
            return finite();
        }
        bool finish(const Vec<double>* sum, std::size_t width) {
            if (any(less(splat(terms_.within_), largest())))
                terms_.large_chunks_ |= std::uint64_t{1} << (column_ / chunk);
            put_results(terms_.out, terms_.begin_ + column_, sum, width);
            return finite();
        }

      private:
        Vec<C> largest() const {
            Vec<C> found = largest_[0];
            unroll<vectors<C>>([&](auto v) { found = max(found, largest_[v]); });
            return found;
        }
        bool finite() const { return !any(~equal(nothing_, Vec<C>{})); }

        Rectified& terms_;
        const std::size_t column_;
        Vec<C> median_[vectors<C>], largest_[vectors<C>], nothing_ = {};  // nothing: stays 0, or becomes NaN
    };

    Output<C> out;

  private:
    // The results of one chunk again, of the rescaled values.
    __attribute__((noinline)) void rescale_chunk(std::size_t column) {
        const std::size_t begin = begin_ + column, width = std::min(chunk, rows_.d - begin);
        alignas(64) C kept[chunk];
        Vec<double> sum[chunk / lanes<double>] = {};
        rescaled_chunk(rows_, begin, rescale_, rescaled_);
        for (std::size_t i = 0; i < rows_.n; ++i) {
            rectify_chunk(rescaled_ + i * chunk, median_ + column, word_of_bits(rejected_, i, begin), kept);
            for (std::size_t j = 0; j < chunk; j += lanes<C>)
                add_weighted(load_vector(kept + j), weights_[i], sum + j / lanes<double>);
        }
        for (std::size_t j = 0; j < width; j += lanes<C>)
            out.put(begin + j, finite_result<C>(sum + j / lanes<double>), width - j);
    }

    const Rows<T>& rows_;
    const Bits& rejected_;
    const C* medians_;
    const double* weights_;
    const Rescale& rescale_;
    const C within_;
    C* rescaled_;

    // Of the strip:
    std::size_t begin_ = 0;
    std::uint64_t large_chunks_ = 0;  // a bit each
    alignas(64) C median_[strip];
    Vec<C> largest_[strip / block];  // magnitudes of the blocks' values, between two groups of rows
};

}  // namespace

bool rectified_mean(const RowsView& view, Bits rejected, const void* median, const double* weights,
                    const Rescale& rescale, Result out, int threads) {
    return visit(view, [&](const auto& rows) {
        using T = typename std::decay_t<decltype(rows)>::Element;
        using C = Compute<T>;
        const Scratch scratch(threads, rescaled_bytes<C>(rows.n));
        return sum_rows(rows, weights, threads, [&](int worker) {
            return Rectified<T>(rows, rejected, median, weights, rescale, out, scratch.of(worker));
        });
    });
}

}  // namespace ra::RA_ISA

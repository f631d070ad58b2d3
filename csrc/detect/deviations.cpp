// out[t][i] = the sum of squares, and the largest magnitude, of v_i - m over tile t of the coordinates: v_i is what
// rectify leaves of row i, m the medians. Spec A.1, A.8. One pass over the rows: clipping moves only what is half the
// value range or more from the median, so a row with such a value is read again there, from the cache, and rescaled;
// for mode "paper" all rows are. O(nd). For the squares, differences, clamped to +-limit, and sums in double; the bits
// depend neither on threads nor on how the work is cut.
#include "base/lanes.hpp"
#include "detect/rectified.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t ahead = 32 * chunk;  // coordinates between what is read and what is asked for

// The medians of a tile, zero padded to whole chunks.
template <class C>
struct Middle {
    C* own;
    double* wide;

    Middle(Arena& arena, std::size_t tile)
        : own(arena.take<C>(whole_chunks(tile))), wide(arena.take<double>(whole_chunks(tile))) {}
    void load(const C* from, std::size_t width) {
        std::fill(std::copy(from, from + width, own), own + whole_chunks(width), C(0));
        std::copy(own, own + whole_chunks(width), wide);
    }
};

// How far a row lies from them. Chains of sums hide the latency of an addition.
template <class C>
class Away {
  public:
    // unit: what differences are multiplied by before they are clamped and squared.
    Away(double unit, double limit) : unit_(unit), limit_(limit) {}

    // A chunk at a column of the tile; vector(j) are its values from the j-th on.
    template <class Vector>
    void add(const Middle<C>& middle, std::size_t column, std::uint64_t rejected, const Vector& vector) {
        constexpr int together = chains / halves<C>;
        for (std::size_t j = 0; j < chunk; j += together * lanes<C>)
            unroll<together>([&](auto k) {
                const std::size_t at = j + k * lanes<C>, own = column + at;
                const Vec<C> x = vector(at), median = load_vector(middle.own + own);
                const Vec<C> kept = choose(mask_of<C>(rejected >> at), median, x);
                nothing_ += x - x;
                farthest_[k % 2] = larger<Signs::none>(abs(kept - median), farthest_[k % 2]);
                Vec<double> wide[halves<C>];
                widen_vector(kept, wide);
                unroll<halves<C>>([&](auto h) {
                    add(k * halves<C> + h, wide[h], load_vector(middle.wide + own + h * lanes<double>));
                });
            });
    }
    bool finite() const { return !any(~equal(nothing_, Vec<C>{})); }
    C farthest() const { return largest(max(farthest_[0], farthest_[1])); }
    void put(double* out) const {
        out[0] += total((squares_[0] + squares_[1]) + (squares_[2] + squares_[3]));
        out[1] = std::max<double>(out[1], farthest());
    }

  private:
    static constexpr int chains = 4;

    void add(int chain, Vec<double> value, Vec<double> median) {
        Vec<double> difference = value - median;
        if constexpr (std::is_same_v<C, double>)  // floats are far from the limit
            difference = clamped(value * unit_ - median * unit_, limit_);
        squares_[chain] = multiply_add(difference, difference, squares_[chain]);
    }

    const double unit_, limit_;
    Vec<double> squares_[chains] = {};
    Vec<C> farthest_[2] = {}, nothing_ = {};  // nothing: stays 0, or becomes NaN
};

template <class C>
struct DeviationsWork {
    Middle<C> middle;
    std::size_t* moved;  // rows whose values clipping may move
    unsigned char* rescaled;

    DeviationsWork(Arena& arena, std::size_t n, std::size_t tile)
        : middle(arena, tile),
          moved(arena.take<std::size_t>(n)),
          rescaled(arena.take<unsigned char>(rescaled_bytes<C>(n))) {}
};

template <class T, class C = Compute<T>>
struct Deviations {
    const Rows<T>& rows;
    const Bits rejected;
    const C* median;
    const Rescale& rescale;
    const double limit;
    const std::uint8_t* shrunk;
    const C within = always_within<C>(rows.n, rescale);
    const bool always = rescale.mode == RescaleMode::paper && within < std::numeric_limits<C>::infinity();

    // Those of rows first ... last - 1 over columns begin ... end - 1, added to out[i]. False on a NaN or an infinity.
    bool operator()(std::size_t begin, std::size_t end, std::size_t first, std::size_t last, double* out,
                    DeviationsWork<C>& work) const {
        work.middle.load(median + begin, end - begin);
        std::size_t moved = 0;
        for (std::size_t i = first; i < last; ++i) {
            const Away<C> away = always ? Away<C>(1, limit) : of_row(i, begin, end, work.middle);
            if (!away.finite()) return false;
            if (always || away.farthest() >= within)
                work.moved[moved++] = i;
            else
                away.put(out + 2 * i);
        }
        for (std::size_t column = begin; moved > 0 && column < end; column += chunk)
            if (!add_rescaled(column, column - begin, moved, out, work)) return false;
        return true;
    }

  private:
    Away<C> fresh(std::size_t i) const { return {shrunk != nullptr && shrunk[i] != 0 ? shrink : 1.0, limit}; }

    // Not inlined: among its caller's variables the sums would lose their registers.
    __attribute__((noinline)) Away<C> of_row(std::size_t i, std::size_t begin, std::size_t end,
                                             const Middle<C>& middle) const {
        Away<C> away = fresh(i);
        std::size_t column = begin;
        for (; column + chunk <= end; column += chunk) {
            fetch_later(i, column, begin, end);
            away.add(middle, column - begin, word_of_bits(rejected, i, column),
                     [&](std::size_t j) { return widened_vector(rows.at(i, column + j)); });
        }
        if (column < end) {
            T rest[chunk] = {};
            std::memcpy(rest, rows.at(i, column), (end - column) * sizeof(T));
            away.add(middle, column - begin, word_of_bits(rejected, i, column),
                     [&](std::size_t j) { return widened_vector(rest + j); });
        }
        return away;
    }
    // Asks for what is read soon, of this row or of the next.
    __attribute__((always_inline)) inline void fetch_later(std::size_t i, std::size_t column, std::size_t begin,
                                                           std::size_t end) const {
        const bool beyond = column + ahead >= end;
        const std::size_t row = i + beyond, from = column + ahead - (beyond ? end - begin : 0);
        if (row < rows.n && from + chunk <= end) fetch(rows.at(row, from), chunk);
    }
    // A chunk of the rows that are moved.
    bool add_rescaled(std::size_t begin, std::size_t column, std::size_t moved, double* out,
                      DeviationsWork<C>& work) const {
        auto* y = reinterpret_cast<C*>(work.rescaled);
        if (!rescaled_chunk(rows, begin, rescale, y)) return false;
        for (std::size_t k = 0; k < moved; ++k) {
            const std::size_t i = work.moved[k];
            Away<C> away = fresh(i);
            away.add(work.middle, column, word_of_bits(rejected, i, begin),
                     [&](std::size_t j) { return load_vector(y + i * chunk + j); });
            away.put(out + 2 * i);
        }
        return true;
    }
};

}  // namespace

bool deviations(const RowsView& view, Bits rejected, const void* median, const Rescale& rescale, std::size_t tile,
                double limit, const std::uint8_t* shrunk, double* out, int threads) {
    threads = threads_for(view, 0.3, threads);
    return visit(view, [&](const auto& rows) {
        using T = typename std::decay_t<decltype(rows)>::Element;
        using C = Compute<T>;
        const Deviations<T> add{rows, rejected, static_cast<const C*>(median), rescale, limit, shrunk};
        const std::size_t tiles = (rows.d + tile - 1) / tile, wanted = 4 * static_cast<std::size_t>(threads);
        const std::size_t shares = std::min(rows.n, tiles < wanted ? wanted : 1);
        const Scratch scratch(threads, bytes_of<DeviationsWork<C>>(rows.n, tile));
        std::fill_n(out, 2 * tiles * rows.n, 0.0);
        return parallel(tiles * shares, threads, [&](std::size_t task, int worker) {
            const FlushSubnormals flush;
            Arena arena(scratch.of(worker));
            DeviationsWork<C> work(arena, rows.n, tile);
            const std::size_t t = task / shares, share = task % shares;
            return add(t * tile, std::min(rows.d, (t + 1) * tile), rows.n * share / shares,
                       rows.n * (share + 1) / shares, out + 2 * t * rows.n, work);
        });
    });
}

}  // namespace ra::RA_ISA

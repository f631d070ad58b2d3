// out[t][i] = the sum of squares, and the largest magnitude, of v_i - m over tile t of the coordinates: v_i is what
// rectify leaves of row i, m the medians. Spec A.1, A.8. One pass over the rows: clipping moves only what is half the
// value range or more from the median, so rows with such a value in a piece of the tile are read again there, from the
// cache, and rescaled; for mode "paper" all rows are. O(nd). Differences, clamped to +-limit for the squares, and sums
// in double; the bits depend neither on threads nor on how the work is cut.
#include "base/lanes.hpp"
#include "detect/rectified.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t piece = 16 * chunk;  // columns of a row at a time

// The medians of a piece, zero padded.
template <class C>
struct Middle {
    alignas(64) C own[piece];
    alignas(64) double wide[piece];

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

    // A chunk at a column of the piece; vector(j) are its values from the j-th on.
    template <class Vector>
    void add(const Middle<C>& middle, std::size_t column, std::uint64_t rejected, const Vector& vector) {
        constexpr int together = chains / halves<C>;
        for (std::size_t j = 0; j < chunk; j += together * lanes<C>)
            unroll<together>([&](auto k) {
                const std::size_t at = j + k * lanes<C>, own = column + at;
                const Vec<C> x = vector(at);
                nothing_ += x - x;
                Vec<double> kept[halves<C>];
                widen_vector(choose(mask_of<C>(rejected >> at), load_vector(middle.own + own), x), kept);
                unroll<halves<C>>([&](auto h) {
                    add(k * halves<C> + h, kept[h], load_vector(middle.wide + own + h * lanes<double>));
                });
            });
    }
    bool finite() const { return !any(~equal(nothing_, Vec<C>{})); }
    double farthest() const { return largest(max(max(farthest_[0], farthest_[1]), max(farthest_[2], farthest_[3]))); }
    void put(double* out) const {
        out[0] += total((squares_[0] + squares_[1]) + (squares_[2] + squares_[3]));
        out[1] = std::max(out[1], farthest());
    }

  private:
    static constexpr int chains = 4;

    void add(int chain, Vec<double> value, Vec<double> median) {
        Vec<double> difference = value - median;
        farthest_[chain] = max(abs(difference), farthest_[chain]);
        if constexpr (std::is_same_v<C, double>)  // floats are far from the limit
            difference = clamped(value * unit_ - median * unit_, limit_);
        squares_[chain] = multiply_add(difference, difference, squares_[chain]);
    }

    const double unit_, limit_;
    Vec<double> squares_[chains] = {}, farthest_[chains] = {};
    Vec<C> nothing_ = {};  // stays 0, or becomes NaN
};

template <class C>
struct DeviationsWork {
    Middle<C>* middle;
    std::size_t* moved;  // rows whose values clipping may move
    unsigned char* rescaled;

    DeviationsWork(Arena& arena, std::size_t n)
        : middle(arena.take<Middle<C>>(1)),
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

    // Adds those of rows first ... last - 1 over columns begin ... begin + width - 1, no more than a piece, to out[i].
    // False on a NaN or an infinity.
    bool operator()(std::size_t begin, std::size_t width, std::size_t first, std::size_t last, double* out,
                    const DeviationsWork<C>& work) const {
        work.middle->load(median + begin, width);
        std::size_t moved = 0;
        for (std::size_t i = first; i < last; ++i) {
            const Away<C> away = always ? Away<C>(1, limit) : of_row(i, begin, width, *work.middle);
            if (!away.finite()) return false;
            if (always || away.farthest() >= within)
                work.moved[moved++] = i;
            else
                away.put(out + 2 * i);
        }
        return moved == 0 || of_rescaled(begin, width, moved, out, work);
    }

  private:
    Away<C> fresh(std::size_t i) const { return {shrunk != nullptr && shrunk[i] != 0 ? shrink : 1.0, limit}; }

    // Not inlined: among its caller's variables the sums would lose their registers.
    __attribute__((noinline)) Away<C> of_row(std::size_t i, std::size_t begin, std::size_t width,
                                             const Middle<C>& middle) const {
        Away<C> away = fresh(i);
        const T *x = rows.at(i, begin), *later = row_after(i, begin);
        const std::size_t whole = width / chunk * chunk;
        for (std::size_t c = 0; c < whole; c += chunk) {
            if (later != nullptr) fetch(later + c, chunk);
            away.add(middle, c, word_of_bits(rejected, i, begin + c),
                     [&](std::size_t j) { return widened_vector(x + c + j); });
        }
        if (whole < width) {
            T rest[chunk] = {};
            std::memcpy(rest, x + whole, (width - whole) * sizeof(T));
            away.add(middle, whole, word_of_bits(rejected, i, begin + whole),
                     [&](std::size_t j) { return widened_vector(rest + j); });
        }
        return away;
    }
    // What is read when row i is done with, some rows later; null where that is not a whole piece.
    const T* row_after(std::size_t i, std::size_t begin) const {
        const std::size_t later = i + rows_ahead, column = begin + later / rows.n * piece;
        return column + piece <= rows.d ? rows.at(later % rows.n, column) : nullptr;
    }
    bool of_rescaled(std::size_t begin, std::size_t width, std::size_t moved, double* out,
                     const DeviationsWork<C>& work) const {
        auto* y = reinterpret_cast<C*>(work.rescaled);
        for (std::size_t c = 0; c < width; c += chunk) {
            if (!rescaled_chunk(rows, begin + c, rescale, y)) return false;
            for (std::size_t k = 0; k < moved; ++k) {
                const std::size_t i = work.moved[k];
                Away<C> away = fresh(i);
                away.add(*work.middle, c, word_of_bits(rejected, i, begin + c),
                         [&](std::size_t j) { return load_vector(y + i * chunk + j); });
                away.put(out + 2 * i);
            }
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
        const Deviations<T> measure{rows, rejected, static_cast<const C*>(median), rescale, limit, shrunk};
        const std::size_t tiles = (rows.d + tile - 1) / tile, wanted = 4 * static_cast<std::size_t>(threads);
        const std::size_t shares = std::min(rows.n, tiles < wanted ? wanted : 1);
        const Scratch scratch(threads, bytes_of<DeviationsWork<C>>(rows.n));
        std::fill_n(out, 2 * tiles * rows.n, 0.0);
        return parallel(tiles * shares, threads, [&](std::size_t task, int worker) {
            const FlushSubnormals flush;
            Arena arena(scratch.of(worker));
            const DeviationsWork<C> work(arena, rows.n);
            const std::size_t t = task / shares, share = task % shares, end = std::min(rows.d, (t + 1) * tile);
            const std::size_t first = rows.n * share / shares, last = rows.n * (share + 1) / shares;
            for (std::size_t begin = t * tile; begin < end; begin += piece)
                if (!measure(begin, std::min(piece, end - begin), first, last, out + 2 * t * rows.n, work)) return false;
            return true;
        });
    });
}

}  // namespace ra::RA_ISA

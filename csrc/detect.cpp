// Detection: which values of which clients are outliers of their coordinate, by the confidence of their residual from
// the repeated-median line of the sorted column. Source: the reputation-based rule, its Algorithm 1 and equations 1-4.
// Cost: see line.cpp for the line; the rest sorts the column and the residuals. Memory: a tile per thread.
// Precision: the compute type; a decision may differ from exact arithmetic where the confidence is within rounding of
// the threshold. A coordinate's result depends on its own column only. False on a NaN or an infinity.
#include "decide.hpp"
#include "order.hpp"
#include "rescale.hpp"

namespace ra::RA_ISA {

namespace {

constexpr int few_clients = 12;  // up to so many, columns stay in registers; each number of clients also costs code
constexpr TileLimits of_few_clients = {16 * 1024, 256, 1024};  // half of the L1 cache

template <class T>
constexpr std::size_t vectors = chunk / lanes<T>;  // of columns, in a chunk

// What judging a vector of columns leaves: its values in order, and which ranks are accepted.
template <class T>
struct Judged {
    Vec<T>* sorted;
    Mask<T>* accepted;
    bool all;
};

template <class T>
struct DetectWork {
    Vec<T>* tile;
    Judged<T> judged[vectors<T>];
    Vec<T>* centred;
    LineWork<T> line;
    Residuals<T> residuals;
    Edges<T> edges;
    std::uint64_t* words;  // a bit for each column of a chunk
    std::int64_t* counts;

    DetectWork(Arena& arena, std::size_t n, std::size_t stride)
        : tile(arena.take<Vec<T>>(pitch_of(n) * stride / lanes<T>)),
          centred(arena.take<Vec<T>>(n)),
          line(arena, n),
          residuals(arena, n),
          edges(arena, n),
          words(arena.take<std::uint64_t>(n)),
          counts(arena.take<std::int64_t>(n)) {
        for (auto& j : judged) j = {arena.take<Vec<T>>(n), arena.take<Mask<T>>(n), true};
    }
};

// Everything that a call of detect shares between its threads.
template <class T>
class Detection {
  public:
    Detection(std::size_t n, std::size_t d, const Confidence& confidence, double threshold, std::uint8_t* rejected)
        : design_(n),
          widths_(n, confidence.interval_width / threshold, confidence.scale_floor),
          rescale_(confidence.rescale),
          intercept_(confidence.intercept),
          rejected_(rejected),
          row_bytes_((d + 7) / 8),
          of_chunk_(design_.n <= few_clients ? of_few(std::make_integer_sequence<int, few_clients>{})
                                             : &Detection::chunk_of_columns<int>) {}

    // Columns begin ... begin + width - 1, no more than 64: their medians, and their bits.
    void operator()(Vec<T>* column, std::size_t begin, std::size_t width, T* median, DetectWork<T>& work) const {
        alignas(64) T medians[chunk];
        std::fill_n(work.words, design_.n, 0);
        (this->*of_chunk_)(column, width, medians, work);
        std::copy(medians, medians + width, median + begin);
        for (int i = 0; i < design_.n; ++i) {
            const std::uint64_t word =
                width < chunk ? work.words[i] & ((std::uint64_t{1} << width) - 1) : work.words[i];
            work.counts[i] += __builtin_popcountll(word);
            std::uint8_t* out = rejected_ + static_cast<std::size_t>(i) * row_bytes_ + begin / 8;
            if (width == chunk)
                std::memcpy(out, &word, sizeof word);
            else
                std::memcpy(out, &word, (width + 7) / 8);
        }
    }

  private:
    using OfChunk = void (Detection::*)(Vec<T>* column, std::size_t width, T* medians, DetectWork<T>& work) const;

    // Step by step for all vectors, so that the processor works on the next one while it waits for the end of this one.
    // N: int, or Few; all is inlined, for what is not would leave the registers.
    template <class N>
    __attribute__((flatten)) void chunk_of_columns(Vec<T>* column, std::size_t width, T* medians,
                                                   DetectWork<T>& work) const {
        const auto n = count<N>();
        const std::size_t pitch = pitch_of(static_cast<std::size_t>(design_.n)),
                          end = (width + lanes<T> - 1) / lanes<T>;
        const auto vector = [&](std::size_t v) {
            return InMemory<T>{reinterpret_cast<T*>(column + v * pitch), lanes<T>};
        };
        for (std::size_t v = 0; v < end; ++v) rescale_columns<T>(vector(v), n, rescale_, work.residuals.work);
        for (std::size_t v = 0; v < end; ++v)
            store_vector(medians + v * lanes<T>, judge(vector(v), n, work.judged[v], work));
        for (std::size_t v = 0; v < end; ++v)
            if (!work.judged[v].all) mark(vector(v), n, work.judged[v], v * lanes<T>, work);
    }
    template <int... k>
    OfChunk of_few(std::integer_sequence<int, k...>) const {
        static constexpr OfChunk of_size[] = {&Detection::chunk_of_columns<Few<k + 1>>...};
        return of_size[design_.n - 1];
    }
    template <class N>
    auto count() const {
        if constexpr (std::is_same_v<N, int>)
            return design_.n;
        else
            return N{};
    }

    // The medians of a vector of columns.
    Vec<T> judge(InMemory<T> y, int n, Judged<T>& judged, DetectWork<T>& work) const {
        Columns<T> columns(judged.sorted, work.centred);
        columns.load(y, n);
        const Line<T> line = fit_line(design_, columns.centred, intercept_, work.line);
        work.residuals.measure(columns, line, widths_, n);
        judged.all = work.residuals.accept(widths_, n, judged.accepted);
        return columns.median(n);
    }
    template <int n>
    Vec<T> judge(InMemory<T> y, Few<n> count, Judged<T>& judged, DetectWork<T>&) const {
        Vec<T> centred[n], own[n], size[n], spare[n];
        Columns<T> columns(judged.sorted, centred);
        columns.load(y, count);
        if constexpr (n >= 3) {
            Residuals<T> residuals(size, spare);
            row_medians(design_.gaps, centred, own, count);
            residuals.measure(columns, line_of<T>(centred, own, intercept_, count, spare), widths_, count);
            judged.all = residuals.accept(widths_, count, judged.accepted);
        }
        return columns.median(n);
    }

    // Bits into work.words, from bit `shift` on.
    template <class N>
    void mark(InMemory<T> y, N n, const Judged<T>& judged, std::size_t shift, DetectWork<T>& work) const {
        const Range<T> range(judged.sorted, judged.accepted, n);
        if (range.has_hole) work.edges.find(judged.sorted, judged.accepted, n);
        each(n, [&](auto i) {
            const unsigned found = range.has_hole ? work.edges.rejects(y.get(i)) : range.rejects(y.get(i));
            work.words[i] |= std::uint64_t{found} << shift;
        });
    }

    const Design<T> design_;
    const Widths<T> widths_;
    const Rescale rescale_;
    const Intercept intercept_;
    std::uint8_t* const rejected_;
    const std::size_t row_bytes_;
    const OfChunk of_chunk_;
};

template <class R>
bool detect_rows(const Rows<R>& rows, const Confidence& confidence, double threshold, std::uint8_t* rejected,
                 void* median, std::int64_t* counts, int threads) {
    using T = Compute<R>;
    const std::size_t n = rows.n;
    const bool few = n <= few_clients;
    const Tiles tiles(n, rows.d, sizeof(T), threads, few ? of_few_clients : TileLimits{});
    const int workers = tiles.workers(threads);
    const Detection<T> detection(n, rows.d, confidence, threshold, rejected);
    const Scratch scratch(workers, bytes_of<DetectWork<T>>(n, tiles.stride));
    const auto work_of = [&](int worker) {
        Arena arena(scratch.of(worker));
        return DetectWork<T>(arena, n, tiles.stride);
    };
    for (int w = 0; w < workers; ++w) std::fill_n(work_of(w).counts, n, 0);
    const std::size_t run = few ? tiles.run(workers) : 1, runs = (tiles.count() + run - 1) / run;
    const bool finite = parallel(runs, workers, [&](std::size_t task, int worker) {
        const FlushSubnormals flush;
        DetectWork<T> work = work_of(worker);
        const std::size_t last = std::min(tiles.count(), (task + 1) * run);
        for (std::size_t t = task * run; t < last; ++t) {
            const std::size_t begin = tiles.begin(t), width = tiles.width(t);
            if (!stage_vectors(rows, begin, width, work.tile)) return false;
            for (std::size_t c = 0; c < width; c += chunk) {
                if (t + 1 < last) fetch_columns(rows, begin + tiles.stride + c, chunk);
                detection(work.tile + c / lanes<T> * pitch_of(n), begin + c, std::min(chunk, width - c),
                          static_cast<T*>(median), work);
            }
        }
        return true;
    });
    std::fill_n(counts, n, 0);
    for (int w = 0; w < workers; ++w)
        for (std::size_t i = 0; i < n; ++i) counts[i] += work_of(w).counts[i];
    return finite;
}

}  // namespace

bool detect(const RowsView& view, const Confidence& confidence, double threshold, std::uint8_t* rejected, void* median,
            std::int64_t* counts, int threads) {
    return visit(view, [&](const auto& rows) {
        return detect_rows(rows, confidence, threshold, rejected, median, counts, threads);
    });
}

}  // namespace ra::RA_ISA

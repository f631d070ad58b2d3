// Detection: which values of which clients are outliers of their coordinate, by the confidence of their residual from
// the repeated-median line of the sorted column. Source: the reputation-based rule, its Algorithm 1 and equations 1-4.
// Cost: see line.cpp for the line; the rest sorts the column and the residuals. Memory: a tile per thread.
// Precision: the compute type; a decision may differ from exact arithmetic where the confidence is within rounding of
// the threshold. A coordinate's result depends on its own column only. False on a NaN or an infinity.
#include "decide.hpp"
#include "rescale.hpp"

namespace ra::RA_ISA {

namespace {

template <class T>
struct DetectWork {
    T* tile;
    T* chunk_work;
    Columns<T> columns;
    LineWork<T> line;
    Residuals<T> residuals;
    Rejection<T> rejection;
    std::uint64_t* words;  // a bit for each column of a chunk
    std::int64_t* counts;

    DetectWork(Arena& arena, std::size_t n, std::size_t stride)
        : tile(arena.take<T>(n * stride)),
          chunk_work(arena.take<T>(n * chunk)),
          columns(arena, n),
          line(arena, n),
          residuals(arena, n),
          rejection(arena, n),
          words(arena.take<std::uint64_t>(n)),
          counts(arena.take<std::int64_t>(n)) {}
};

// Everything that a call of detect shares between its threads.
template <class T>
struct Detection {
    Design<T> design;
    Widths<T> widths;
    Rescale rescale;
    Intercept intercept;
    std::uint8_t* rejected;
    std::size_t row_bytes;

    Detection(std::size_t n, std::size_t d, const Confidence& confidence, double threshold, std::uint8_t* rejected_)
        : design(n),
          widths(n, confidence.interval_width / threshold, confidence.scale_floor),
          rescale(confidence.rescale),
          intercept(confidence.intercept),
          rejected(rejected_),
          row_bytes((d + 7) / 8) {}

    // One vector of columns: their medians, and their bits into work.words from bit `shift` on.
    void columns(const T* column, std::size_t stride, std::size_t shift, T* median, DetectWork<T>& work) const {
        const int n = design.n;
        work.columns.load(column, n, stride);
        store_vector(median, work.columns.median(n));
        if (n < 3) return;
        const Line<T> line = fit_line(design, work.columns.centred, intercept, work.line);
        work.residuals.measure(work.columns, line, widths, n);
        work.rejection.decide(work.columns, work.residuals, widths, n);
        for (int i = 0; i < n; ++i)
            work.words[i] |= std::uint64_t{work.rejection.rejects(load_vector(column + i * stride))} << shift;
    }

    // Columns begin ... begin + 63, of which `width` are of the data.
    void chunk_of_columns(T* column, std::size_t stride, std::size_t begin, std::size_t width, T* median,
                          DetectWork<T>& work) const {
        const std::size_t n = static_cast<std::size_t>(design.n);
        rescale_chunk(column, n, stride, rescale, work.chunk_work);
        std::fill(work.words, work.words + n, 0);
        alignas(64) T medians[chunk];
        for (std::size_t j = 0; j < chunk; j += lanes<T>) columns(column + j, stride, j, medians + j, work);
        std::copy(medians, medians + width, median + begin);
        for (std::size_t i = 0; i < n; ++i) {
            const std::uint64_t word =
                width < chunk ? work.words[i] & ((std::uint64_t{1} << width) - 1) : work.words[i];
            work.counts[i] += __builtin_popcountll(word);
            std::uint8_t* out = rejected + i * row_bytes + begin / 8;
            if (width == chunk)
                std::memcpy(out, &word, sizeof word);
            else
                std::memcpy(out, &word, (width + 7) / 8);
        }
    }
};

template <class R>
bool detect_rows(const Rows<R>& rows, const Confidence& confidence, double threshold, std::uint8_t* rejected,
                 void* median, std::int64_t* counts, int threads) {
    using T = Compute<R>;
    const std::size_t n = rows.n;
    const Tiles tiles(n, rows.d, sizeof(T), threads);
    const int workers = tiles.workers(threads);
    const Detection<T> detection(n, rows.d, confidence, threshold, rejected);
    const Scratch scratch(workers, bytes_of<DetectWork<T>>(n, tiles.stride));
    const auto work_of = [&](int worker) {
        Arena arena(scratch.of(worker));
        return DetectWork<T>(arena, n, tiles.stride);
    };
    for (int w = 0; w < workers; ++w) std::fill_n(work_of(w).counts, n, 0);
    const bool finite = parallel(tiles.count(), workers, [&](std::size_t t, int worker) {
        const FlushSubnormals flush;
        DetectWork<T> work = work_of(worker);
        const std::size_t begin = tiles.begin(t), width = tiles.width(t);
        if (!stage(rows, begin, width, tiles.stride, work.tile)) return false;
        for (std::size_t c = 0; c < width; c += chunk)
            detection.chunk_of_columns(work.tile + c, tiles.stride, begin + c, std::min(chunk, width - c),
                                       static_cast<T*>(median), work);
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

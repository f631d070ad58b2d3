// Detection: which values of which clients are outliers of their coordinate, by the confidence of their residual from
// the repeated-median line of the sorted column. Source: the reputation-based rule, its Algorithm 1 and equations 1-4.
// Cost: see line.cpp for the line; the rest sorts the column and the residuals. From 6 to 12 clients most columns need
// neither (filter.hpp); most doubles of 13 to 64 clients are judged in floats (float_filter.hpp). Memory: a tile per
// thread. Precision: the compute type; a decision may differ from exact arithmetic where the confidence is within
// rounding of the threshold. A coordinate's result depends on its own column only. False on a NaN or an infinity.
#include "detect/detect_few.hpp"
#include "detect/float_filter.hpp"
#include "detect/patience.hpp"
#include "order/order.hpp"

namespace ra::RA_ISA {

namespace {

template <class T>
constexpr std::size_t vectors = chunk / lanes<T>;  // of columns, in a chunk

template <class T>
struct DetectWork {
    Vec<T>* tile;
    Judged<T> judged[vectors<T>];
    JudgeWork<T> judge;
    std::int64_t* counts;

    DetectWork(Arena& arena, std::size_t n, std::size_t stride)
        : tile(arena.take<Vec<T>>(pitch_of(n) * stride / lanes<T>)),
          judge(arena, n),
          counts(arena.take<std::int64_t>(n)) {
        for (auto& j : judged) j = Judged<T>(arena, n);
    }
    void start(std::size_t n) { std::fill_n(counts, n, 0); }
};

// A chunk's columns in a tile, a vector at a time.
template <class T>
auto vectors_of(Vec<T>* column, int n) {
    return [column, pitch = pitch_of(static_cast<std::size_t>(n))](std::size_t v) {
        return InMemory<T>{reinterpret_cast<T*>(column + v * pitch), lanes<T>};
    };
}

// Columns begin ... begin + width - 1, no more than a chunk: their medians, and their bits. n: an int, or Few. Step by
// step for all vectors, so that the processor works on the next one while it waits for the end of this one.
template <class T, class N>
__attribute__((flatten)) void detect_chunk(const Judge<T>& judge, const Verdicts<T>& verdicts, N n, Vec<T>* column,
                                           std::size_t begin, std::size_t width, DetectWork<T>& work) {
    alignas(64) T medians[chunk];
    std::fill_n(work.judge.words, n, 0);
    const std::size_t end = (width + lanes<T> - 1) / lanes<T>;
    const auto vector = vectors_of<T>(column, n);
    for (std::size_t v = 0; v < end; ++v) rescale_columns<T>(vector(v), n, judge.rescale, work.judge.residuals.work);
    for (std::size_t v = 0; v < end; ++v)
        store_vector(medians + v * lanes<T>, judge.judge(vector(v), n, work.judged[v], work.judge));
    for (std::size_t v = 0; v < end; ++v)
        if (!work.judged[v].all) judge.mark(vector(v), n, work.judged[v], v * lanes<T>, work.judge);
    verdicts.put(medians, begin, width);
    verdicts.write(work.judge.words, n, begin, width, work.counts);
}

struct FilterWork : DetectWork<double> {
    FloatFilterWork floats;
    Patience* patience;

    FilterWork(Arena& arena, std::size_t n, std::size_t stride)
        : DetectWork(arena, n, stride), floats(arena, n), patience(arena.take<Patience>(1)) {}
    void start(std::size_t n) {
        DetectWork::start(n);
        *patience = Patience();
    }
};

// The same for doubles of 13 to 64 clients: columns of mostly equal values are settled, the filter judges the others,
// and what it leaves is judged exactly.
class FilteredJudge {
  public:
    FilteredJudge(const Judge<double>& judge, const Confidence& confidence, double threshold)
        : judge_(judge), filter_(static_cast<std::size_t>(judge.design.n), confidence, threshold) {}

    bool usable() const { return judge_.design.n <= FloatFilter::most && filter_.usable(); }

    void detect_chunk(const Verdicts<double>& verdicts, Vec<double>* column, std::size_t begin, std::size_t width,
                      FilterWork& work) const {
        alignas(64) double medians[chunk];
        const int n = judge_.design.n;
        const auto vector = vectors_of<double>(column, n);
        std::fill_n(work.judge.words, n, 0);
        for (std::size_t j = 0; j < width; j += 2 * L) {
            const Pair pair{{vector(j / L), vector(j / L + 1)}};
            judge_pair(pair, width - j > L ? 2 : 1, medians + j, j, work);
        }
        verdicts.put(medians, begin, width);
        verdicts.write(work.judge.words, n, begin, width, work.counts);
    }

  private:
    static constexpr int L = lanes<double>;

    // One vector, or two.
    void judge_pair(const Pair& pair, int vectors, double* medians, std::size_t shift, FilterWork& work) const {
        const int n = judge_.design.n;
        std::uint64_t* words = work.judge.words;
        unsigned left = 0;  // lanes, those of the second vector after the first's
        for (int h = 0; h < vectors; ++h) {
            const InMemory<double> y = pair.half[h];
            rescale_columns<double>(y, n, judge_.rescale, work.judge.residuals.work);
            for (int i = 0; i < n; ++i) work.floats.sorted[i] = y.get(i);
            const Vec<double> middle = median<double>(work.floats.sorted, n);
            store_vector(medians + h * L, middle);
            Mask<double> rejected[FloatFilter::most] = {};
            const unsigned settled = bits(judge_.mostly_equal.settle(y, n, middle, rejected));
            for (int i = 0; i < n; ++i) words[i] |= std::uint64_t{bits(rejected[i]) & settled} << (shift + h * L);
            left |= Pair::lanes_of(~settled, 0) << (h * L);
        }
        if (vectors == 2 && left != 0 && work.patience->ask()) {
            const unsigned unsure = filter_.judge(pair, work.floats);
            work.patience->learn((left & unsure) != 0);
            for (int i = 0; i < n; ++i)
                words[i] |= (work.floats.judge.words[i] & std::uint64_t{left & ~unsure}) << shift;
            left &= unsure;
        }
        for (int h = 0; h < vectors; ++h) {
            if (Pair::lanes_of(left, h) == 0) continue;
            judge_.judge(pair.half[h], n, work.judged[0], work.judge);
            if (!work.judged[0].all) judge_.mark(pair.half[h], n, work.judged[0], shift + h * L, work.judge);
        }
    }

    const Judge<double>& judge_;
    const FloatFilter filter_;
};

// body(work, first tile, last tile) for runs of neighbouring tiles, and the sums of what it counted.
template <class Work, class Body, class... Sizes>
bool each_run(const Tiles& tiles, std::size_t run, int threads, std::int64_t* counts, const Body& body, std::size_t n,
              Sizes... sizes) {
    const int workers = tiles.workers(threads);
    const Scratch scratch(workers, bytes_of<Work>(n, sizes...));
    const auto work_of = [&](int worker) {
        Arena arena(scratch.of(worker));
        return Work(arena, n, sizes...);
    };
    for (int w = 0; w < workers; ++w) work_of(w).start(n);
    const bool finite = parallel((tiles.count() + run - 1) / run, workers, [&](std::size_t task, int worker) {
        const FlushSubnormals flush;
        Work work = work_of(worker);
        return body(work, task * run, std::min(tiles.count(), (task + 1) * run));
    });
    std::fill_n(counts, n, 0);
    for (int w = 0; w < workers; ++w)
        for (std::size_t i = 0; i < n; ++i) counts[i] += work_of(w).counts[i];
    return finite;
}

template <class R, class T>
bool detect_by_filter(const Rows<R>& rows, const DetectFew<T>& detect_few, std::int64_t* counts, int threads) {
    const Tiles tiles(rows.n, rows.d, sizeof(T), threads, reading_ahead);
    const auto body = [&](DetectFewWork<T>& work, std::size_t first, std::size_t last) {
        const std::size_t end = std::min(rows.d, tiles.begin(last));
        for (std::size_t j = tiles.begin(first); j < end; j += chunk)
            if (!detect_few(rows, j, std::min(chunk, end - j), work)) return false;
        detect_few.finish(work);
        return true;
    };
    return each_run<DetectFewWork<T>>(tiles, tiles.run(threads), threads, counts, body, rows.n);
}

// detect_chunk(work, columns, begin, width) for each chunk. few: the next tile is read ahead.
template <class Work, class R, class DetectChunk>
bool detect_in_tiles(const Rows<R>& rows, bool few, std::int64_t* counts, int threads,
                     const DetectChunk& detect_chunk) {
    using T = Compute<R>;
    const Tiles tiles(rows.n, rows.d, sizeof(T), threads, few ? reading_ahead : TileLimits{});
    const auto body = [&](Work& work, std::size_t first, std::size_t last) {
        for (std::size_t t = first; t < last; ++t) {
            const std::size_t begin = tiles.begin(t), width = tiles.width(t);
            if (!stage_vectors(rows, begin, width, work.tile)) return false;
            for (std::size_t c = 0; c < width; c += chunk) {
                if (few && t + 1 < last) fetch_columns(rows, begin + tiles.stride + c, chunk);
                detect_chunk(work, work.tile + c / lanes<T> * pitch_of(rows.n), begin + c, std::min(chunk, width - c));
            }
        }
        return true;
    };
    return each_run<Work>(tiles, few ? tiles.run(threads) : 1, threads, counts, body, rows.n, tiles.stride);
}

template <class R>
bool detect_rows(const Rows<R>& rows, const Confidence& confidence, double threshold, std::uint8_t* rejected,
                 void* median, std::int64_t* counts, int threads) {
    using T = Compute<R>;
    const Judge<T> judge(rows.n, confidence, threshold);
    const Verdicts<T> verdicts{rejected, (rows.d + 7) / 8, static_cast<T*>(median)};
    const auto in_tiles = [&](auto n) {
        constexpr bool few = !std::is_same_v<decltype(n), int>;
        return detect_in_tiles<DetectWork<T>>(rows, few, counts, threads, [&, n](auto& work, auto... columns) {
            detect_chunk(judge, verdicts, n, columns..., work);
        });
    };
    const int n = judge.design.n;
    if (n == 3) return in_tiles(Few<3>{});
    if (n == 4) return in_tiles(Few<4>{});
    if (n == 5) return in_tiles(Few<5>{});
    if (n < Filter<T>::fewest || is_path_forced()) return in_tiles(n);
    if (n <= Filter<T>::most) {
        const DetectFew<T> detect_few(judge, verdicts);
        if (detect_few.usable()) return detect_by_filter(rows, detect_few, counts, threads);
    }
    if constexpr (std::is_same_v<T, double>) {
        const FilteredJudge filtered(judge, confidence, threshold);
        if (n > Filter<T>::most && filtered.usable())
            return detect_in_tiles<FilterWork>(rows, false, counts, threads, [&](auto& work, auto... columns) {
                filtered.detect_chunk(verdicts, columns..., work);
            });
    }
    return in_tiles(n);
}

}  // namespace

bool detect(const RowsView& view, const Confidence& confidence, double threshold, std::uint8_t* rejected, void* median,
            std::int64_t* counts, int threads) {
    threads = threads_for(view, static_cast<double>(view.n) / 4, threads);
    return visit(view, [&](const auto& rows) {
        return detect_rows(rows, confidence, threshold, rejected, median, counts, threads);
    });
}

}  // namespace ra::RA_ISA

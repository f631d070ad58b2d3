// Detection for few clients: columns are read where they are and go through the filter; those that stay in it wait
// until they fill a vector, which is judged exactly. Where most stay in it, all are judged so for a while.
#pragma once

#include "detect/filter.hpp"
#include "detect/judge.hpp"
#include "detect/patience.hpp"
#include "order/registers.hpp"

namespace ra::RA_ISA {

template <class T>
struct DetectFewWork {
    JudgeWork<T> judge;
    Judged<T> judged;
    Shorts* shorts;     // the values of a chunk, for the filter
    Vec<T>* waiting;    // vectors of columns as they came
    std::size_t* from;  // where those columns are
    std::size_t count = 0;
    std::int64_t* counts;
    Patience* patience;

    DetectFewWork(Arena& arena, std::size_t n)
        : judge(arena, n),
          judged(arena, n),
          shorts(arena.take<Shorts>(n * (chunk / lanes<Short>))),
          waiting(arena.take<Vec<T>>(n * (chunk / lanes<T> + 1))),
          from(arena.take<std::size_t>(chunk + lanes<T>)),
          counts(arena.take<std::int64_t>(n)),
          patience(arena.take<Patience>(1)) {}

    void start(std::size_t n) {
        std::fill_n(counts, n, 0);
        *patience = Patience();
    }
};

template <class T>
class DetectFew {
  public:
    __attribute__((noinline)) DetectFew(const Judge<T>& judge,
                                        const Verdicts<T>& verdicts)  // once for all dtypes of rows
        : judge_(judge),
          verdicts_(verdicts),
          filter_(judge.design.n, judge.intercept, judge.widths),
          steps_(steps_of(std::make_integer_sequence<int, Filter<T>::most - Filter<T>::fewest + 1>{})) {}

    bool usable() const { return filter_.usable(); }

    // Columns begin ... begin + width - 1, no more than a chunk. False on a NaN or an infinity. Clipping comes first,
    // in a copy: what it does to a column it does no second time.
    template <class R>
    bool operator()(const Rows<R>& rows, std::size_t begin, std::size_t width, DetectFewWork<T>& work) const {
        const bool clips = judge_.rescale.mode == RescaleMode::clip;
        InChunk<T, Filter<T>::most> columns;
        if (!columns.read(rows, begin, width, clips)) return false;
        if (clips)
            for (std::size_t j = 0; j < chunk; j += lanes<T>)
                rescale_columns<T>(InMemory<T>{columns.owned() + j, chunk}, judge_.design.n, judge_.rescale,
                                   work.judge.residuals.work);
        const auto step = work.patience->ask() ? steps_.sift : steps_.judge_all;
        return (this->*step)(columns.rows(), begin, width, work);
    }

    // Judges the columns that still wait.
    void finish(DetectFewWork<T>& work) const { (this->*steps_.judge_waiting)(1, work); }

  private:
    using InPlace = const T* const*;
    struct Steps {
        bool (DetectFew::*sift)(InPlace row, std::size_t begin, std::size_t width, DetectFewWork<T>& work) const;
        bool (DetectFew::*judge_all)(InPlace row, std::size_t begin, std::size_t width, DetectFewWork<T>& work) const;
        void (DetectFew::*judge_waiting)(std::size_t least, DetectFewWork<T>& work) const;
    };
    static constexpr std::size_t groups = chunk / lanes<Short>, P = parts<T>, vectors = groups * P;

    // How far each vector of columns spreads, and how far its extremes are moved in.
    struct Spread {
        Extremes<T> extremes[vectors];
        Mask<T> wide[vectors];
        Vec<T> step[vectors];
        bool moves = false;
    };

    // The processor works on a vector while it waits for the end of the one before: each step is done for all of them.
    template <int n>
    __attribute__((flatten)) bool sift(InPlace row, std::size_t begin, std::size_t width,
                                       DetectFewWork<T>& work) const {
        constexpr Few<n> count{};
        alignas(64) T medians[chunk];
        Limits<T> limits[vectors];
        typename Filter<T>::Sifted sifted[groups];
        const Spread spread = spread_of(row, count);
        Shorts least{};
        for (std::size_t g = 0; g < groups; ++g)
            least = min(least, narrow(row, g, spread, limits + g * P, medians, work.shorts + g * n, count));
        if (any(less(least, Shorts{}))) {
            if (!finite_chunk(row, n)) return false;
            // Columns whose range is not finite, which have no scale: the exact rule judges them.
            for (std::size_t i = 0; i < groups * n; ++i) work.shorts[i] = max(work.shorts[i], Shorts{});
        }
        for (std::size_t g = 0; g < groups; ++g)
            sifted[g] = filter_.sift(limits + g * P, work.shorts + g * n, count, [&](auto i) {
                const T* later = row[i] + columns_ahead + g * lanes<Short>;
                for (std::size_t p = 0; p < P; ++p) __builtin_prefetch(later + p * lanes<T>, 0, l1);
            });
        std::fill_n(work.judge.words, n, 0);
        const std::size_t waiting = work.count;
        for (std::size_t g = 0; g < groups; ++g)
            if (!sifted[g].all) mark(row, begin, width, g, sifted[g], spread, medians, work, count);
        verdicts_.put(medians, begin, width);
        verdicts_.write(work.judge.words, n, begin, width, work.counts);
        work.patience->learn(3 * (work.count - waiting) > width);
        if (work.count >= lanes<T>) judge_waiting<n>(lanes<T>, work);
        return true;
    }

    // The same without the filter.
    template <int n>
    bool judge_all(InPlace row, std::size_t begin, std::size_t width, DetectFewWork<T>& work) const {
        alignas(64) T medians[chunk];
        if (!finite_chunk(row, n)) return false;
        std::fill_n(work.judge.words, n, 0);
        for (std::size_t v = 0; v * lanes<T> < width; ++v) {
            Vec<T> y[n];
            store_vector(medians + v * lanes<T>, judge<n>(load(row, v, y, Few<n>{}), v * lanes<T>, work));
        }
        verdicts_.put(medians, begin, width);
        verdicts_.write(work.judge.words, n, begin, width, work.counts);
        return true;
    }

    template <class N>
    static InMemory<T> load(InPlace row, std::size_t v, Vec<T>* y, N n) {
        each(n, [&](auto i) { y[i] = load_vector(row[i] + v * lanes<T>); });
        return {reinterpret_cast<T*>(y), lanes<T>};
    }
    template <int n>
    Spread spread_of(InPlace row, Few<n> count) const {
        Spread spread;
        Vec<T> y[n];
        Mask<T> wide = less(Vec<T>{}, Vec<T>{});
        for (std::size_t v = 0; v < vectors; ++v) {
            const Extremes<T> extremes = spread.extremes[v] = find_extremes<T>(load(row, v, y, count), count);
            wide = wide | (spread.wide[v] = spans(extremes.low, extremes.high, judge_.rescale.value_range));
        }
        spread.moves = any(wide) && judge_.rescale.mode == RescaleMode::paper;
        if (spread.moves)
            for (std::size_t v = 0; v < vectors; ++v)
                spread.step[v] =
                    choose(spread.wide[v], deviation<T>(load(row, v, y, count), count, spread.extremes[v]), Vec<T>{});
        return spread;
    }
    // A vector of columns, rescaled.
    template <class N>
    void load_rescaled(InPlace row, std::size_t v, const Spread& spread, Vec<T>* y, N n) const {
        const InMemory<T> columns = load(row, v, y, n);
        if (spread.moves) move_extremes_in<T>(columns, n, spread.extremes[v], spread.step[v]);
    }
    // A group of columns as the filter takes them, and their medians. Returns the least number, negative for a NaN.
    template <int n>
    Shorts narrow(InPlace row, std::size_t g, const Spread& spread, Limits<T>* limits, T* medians, Shorts* to,
                  Few<n> count) const {
        Vec<T> value[P][n];
        for (std::size_t p = 0; p < P; ++p) {
            const std::size_t v = g * P + p;
            Vec<T> y[n];
            load_rescaled(row, v, spread, y, count);
            const Extremes<T> extremes = spread.extremes[v];
            limits[p] = filter_.limits_of(extremes.high - extremes.low);
            unroll<n>([&](auto i) { value[p][i] = (y[i] - extremes.low) * limits[p].scale; });
            store_vector(medians + v * lanes<T>, median<T>(y, count));
        }
        Shorts least{};
        unroll<n>([&](auto i) {
            Vec<T> whole[P];
            unroll<int(P)>([&](auto p) { whole[p] = value[p][i]; });
            to[i] = narrowed<T>(whole);
            least = min(least, to[i]);
        });
        return least;
    }
    // The clients that a group's columns reject, and the columns that must wait.
    template <int n>
    void mark(InPlace row, std::size_t begin, std::size_t width, std::size_t g,
              const typename Filter<T>::Sifted& sifted, const Spread& spread, const T* medians, DetectFewWork<T>& work,
              Few<n>) const {
        const Shorts* own = work.shorts + g * n;
        constexpr Short sign = -32768;  // for a comparison without signs
        const Shorts low = wrapped_sum(sifted.low, splat(sign)), span = wrapped_difference(sifted.high, low);
        // A rank that is rejected between accepted ones, or shares a number with one, is no client outside.
        Shorts agreed{};
        Mask<Short> outside[n];
        unroll<n>([&](auto i) {
            outside[i] = less(span, wrapped_difference(own[i], low));
            agreed = add_where(outside[i], agreed, splat(Short(1)));
            agreed = add_where(sifted.accepted[i], agreed, splat(Short(1)));
        });
        unsigned unsure = bits(sifted.unsure | less(agreed, splat(Short(n))));
        const std::size_t shift = g * lanes<Short>;
        unroll<n>([&](auto i) { work.judge.words[i] |= std::uint64_t{bits(outside[i]) & ~unsure} << shift; });
        if (const unsigned level = unsure & bits(sifted.level))
            unsure &= ~settle(row, g, level, spread, medians, work.judge.words);
        for (; unsure != 0; unsure &= unsure - 1) {
            const std::size_t j = shift + static_cast<std::size_t>(__builtin_ctz(unsure));
            if (j >= width) break;
            T* to = reinterpret_cast<T*>(work.waiting + work.count / lanes<T> * n) + work.count % lanes<T>;
            for (int i = 0; i < n; ++i) to[static_cast<std::size_t>(i) * lanes<T>] = ra::RA_ISA::load(row[i] + j);
            work.from[work.count++] = begin + j;
        }
    }
    // Returns which of these columns most of whose values are equal can be settled, and does so.
    __attribute__((noinline)) unsigned settle(InPlace row, std::size_t g, unsigned level, const Spread& spread,
                                              const T* medians, std::uint64_t* words) const {
        unsigned settled = 0;
        for (std::size_t p = 0; p < P; ++p) {
            const std::size_t v = g * P + p;
            Vec<T> y[Filter<T>::most];
            Mask<T> rejected[Filter<T>::most] = {};
            const int n = judge_.design.n;
            load_rescaled(row, v, spread, y, n);
            const InMemory<T> columns{reinterpret_cast<T*>(y), lanes<T>};
            const Mask<T> sure = judge_.mostly_equal.settle(columns, n, load_vector(medians + v * lanes<T>), rejected);
            const unsigned here = bits(sure) & (level >> (p * lanes<T>));
            for (int i = 0; i < n; ++i) words[i] |= std::uint64_t{bits(rejected[i]) & here} << (v * lanes<T>);
            settled |= here << (p * lanes<T>);
        }
        return settled;
    }

    // A vector of columns, by the exact rule: bits into work.judge.words, from bit `shift` on. The medians are
    // returned.
    template <int n>
    __attribute__((flatten, noinline)) Vec<T> judge(InMemory<T> y, std::size_t shift, DetectFewWork<T>& work) const {
        constexpr Few<n> count{};
        rescale_columns<T>(y, count, judge_.rescale, work.judge.residuals.work);
        const Vec<T> median = judge_.judge(y, count, work.judged, work.judge);
        if (!work.judged.all) judge_.mark(y, count, work.judged, shift, work.judge);
        return median;
    }

    // Judges the columns that wait, as long as there are `least` of them. A vector's free lanes hold anything: lanes do
    // not depend on each other, and theirs are not written.
    template <int n>
    void judge_waiting(std::size_t least, DetectFewWork<T>& work) const {
        std::size_t done = 0;
        for (; done + least <= work.count; done += lanes<T>) {
            std::fill_n(work.judge.words, n, 0);
            judge<n>({reinterpret_cast<T*>(work.waiting + done / lanes<T> * n), lanes<T>}, 0, work);
            if (work.judged.all) continue;
            const std::size_t here = std::min<std::size_t>(lanes<T>, work.count - done);
            for (int i = 0; i < n; ++i)
                for (unsigned left = static_cast<unsigned>(work.judge.words[i]) & ((1U << here) - 1); left != 0;
                     left &= left - 1) {
                    const std::size_t at = work.from[done + static_cast<std::size_t>(__builtin_ctz(left))];
                    verdicts_.row(i)[at / 8] |= static_cast<std::uint8_t>(1U << at % 8);
                    ++work.counts[i];
                }
        }
        const std::size_t rest = work.count > done ? work.count - done : 0;
        std::copy_n(work.waiting + done / lanes<T> * n, rest == 0 ? 0 : n, work.waiting);
        std::copy_n(work.from + done, rest, work.from);
        work.count = rest;
    }

    template <int... k>
    Steps steps_of(std::integer_sequence<int, k...>) const {
        constexpr int fewest = Filter<T>::fewest;
        static constexpr Steps of_size[] = {{&DetectFew::sift<k + fewest>, &DetectFew::judge_all<k + fewest>,
                                             &DetectFew::judge_waiting<k + fewest>}...};
        return of_size[judge_.design.n - fewest];
    }

    const Judge<T>& judge_;
    const Verdicts<T> verdicts_;
    const Filter<T> filter_;
    const Steps steps_;
};

}  // namespace ra::RA_ISA

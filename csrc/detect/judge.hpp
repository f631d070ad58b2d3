// The exact judgement of a vector of columns, which ranks are accepted and which clients that rejects, and where it is
// written.
#pragma once

#include "base/stage.hpp"
#include "detect/decide.hpp"
#include "detect/rescale.hpp"

namespace ra::RA_ISA {

// What judging a vector of columns leaves: its values in order, and which ranks are accepted.
template <class T>
struct Judged {
    Vec<T>* sorted;
    Mask<T>* accepted;
    bool all;

    Judged() = default;
    Judged(Arena& arena, std::size_t n) : sorted(arena.take<Vec<T>>(n)), accepted(arena.take<Mask<T>>(n)) {}
};

template <class T>
struct JudgeWork {
    Vec<T>* centred;
    LineWork<T> line;
    Residuals<T> residuals;
    Edges<T> edges;
    std::uint64_t* words;  // of each client, a bit for each column of a chunk

    JudgeWork(Arena& arena, std::size_t n)
        : centred(arena.take<Vec<T>>(n)),
          line(arena, n),
          residuals(arena, n),
          edges(arena, n),
          words(arena.take<std::uint64_t>(n)) {}
};

// Columns most of whose values are equal: the line is that value and the residuals' median 0, so that only the floor of
// their scale decides.
template <class T>
class MostlyEqual {
  public:
    MostlyEqual(std::size_t n, const Widths<T>& widths)
        : most_of_(static_cast<T>((n - 1) / 2 + 2)),
          least_reach_(*std::min_element(widths.width, widths.width + n) * widths.floor),
          most_reach_(*std::max_element(widths.width, widths.width + n) * widths.floor) {}

    // Which columns are decided; in these, rejected[i] tells of value i, in any order.
    Mask<T> settle(InMemory<T> y, int n, Vec<T> median, Mask<T>* rejected) const {
        Vec<T> equals{};
        for (int i = 0; i < n; ++i) equals = add_where(equal(y.get(i), median), equals, splat(T(1)));
        Mask<T> sure = less_equal(splat(most_of_), equals);
        if (!any(sure)) return sure;
        for (int i = 0; i < n; ++i) {
            const Vec<T> size = abs(y.get(i) - median);
            rejected[i] = less(splat(most_reach_), size);
            sure = sure & (rejected[i] | less_equal(size, splat(least_reach_)));
        }
        return sure;
    }

  private:
    const T most_of_;  // values: the least that makes most rows' median slopes 0
    const T least_reach_, most_reach_;
};

template <class T>
struct Judge {
    const Design<T> design;
    const Widths<T> widths;
    const MostlyEqual<T> mostly_equal;
    const Rescale rescale;
    const Intercept intercept;

    Judge(std::size_t n, const Confidence& confidence, double threshold)
        : design(n),
          widths(n, confidence.interval_width / threshold, confidence.scale_floor),
          mostly_equal(n, widths),
          rescale(confidence.rescale),
          intercept(confidence.intercept) {}

    // n: an int, or Few. The medians are returned; y has been rescaled.
    Vec<T> judge(InMemory<T> y, int n, Judged<T>& judged, JudgeWork<T>& work) const {
        Columns<T> columns(judged.sorted, work.centred);
        columns.load(y, n);
        const Vec<T> median = columns.median(n);
        judged.all = n < 3;  // no line is possible
        if (judged.all || settle(n, median, judged)) return median;
        const Line<T> line = fit_line(design, columns.centred, intercept, work.line);
        work.residuals.measure(columns, line, widths, n);
        judged.all = work.residuals.accept(widths, n, judged.accepted);
        return median;
    }
    template <int n>
    Vec<T> judge(InMemory<T> y, Few<n> count, Judged<T>& judged, JudgeWork<T>&) const {
        Vec<T> centred[n], own[n], size[n], spare[n];
        Columns<T> columns(judged.sorted, centred);
        columns.load(y, count);
        Residuals<T> residuals(size, spare);
        row_medians(design.gaps, centred, own, count);
        residuals.measure(columns, line_of<T>(centred, own, intercept, count, spare), widths, count);
        judged.all = residuals.accept(widths, count, judged.accepted);
        return columns.median(n);
    }

    // Bits into work.words, from bit `shift` on.
    template <class N>
    void mark(InMemory<T> y, N n, const Judged<T>& judged, std::size_t shift, JudgeWork<T>& work) const {
        const Range<T> range(judged.sorted, judged.accepted, n);
        if (range.has_hole) work.edges.find(judged.sorted, judged.accepted, n);
        each(n, [&](auto i) {
            const unsigned found = range.has_hole ? work.edges.rejects(y.get(i)) : range.rejects(y.get(i));
            work.words[i] |= std::uint64_t{found} << shift;
        });
    }

  private:
    // Whether all columns are so. So many equal values hold the middle rank and reach a quarter of the ranks
    // from it.
    bool settle(int n, Vec<T> median, Judged<T>& judged) const {
        const Vec<T>* middle = judged.sorted + n / 2;
        const int reach = (n + 1) / 4;
        if (any(~(equal(middle[-reach], middle[0]) | equal(middle[0], middle[reach])))) return false;
        const InMemory<T> sorted{reinterpret_cast<T*>(judged.sorted), lanes<T>};
        if (any(~mostly_equal.settle(sorted, n, median, judged.accepted))) return false;
        Mask<T> rejected = less(median, median);
        for (int i = 0; i < n; ++i) {
            rejected = rejected | judged.accepted[i];
            judged.accepted[i] = ~judged.accepted[i];
        }
        judged.all = !any(rejected);
        return true;
    }
};

// Where detection writes: a bit of row i for each column, their numbers, and the columns' medians.
template <class T>
struct Verdicts {
    std::uint8_t* rejected;
    std::size_t row_bytes;
    T* median;

    std::uint8_t* row(int i) const { return rejected + static_cast<std::size_t>(i) * row_bytes; }
    // The medians of columns begin ... begin + width - 1. A zero is positive: which of several zeros is the middle one
    // depends on how a column is ordered.
    void put(const T* medians, std::size_t begin, std::size_t width) const {
        for (std::size_t j = 0; j < width; ++j) median[begin + j] = medians[j] + T(0);
    }
    // The words of columns begin ... begin + width - 1, no more than a chunk; bits beyond are left out.
    void write(const std::uint64_t* words, int n, std::size_t begin, std::size_t width, std::int64_t* counts) const {
        for (int i = 0; i < n; ++i) {
            const std::uint64_t word = width < chunk ? words[i] & ((std::uint64_t{1} << width) - 1) : words[i];
            counts[i] += __builtin_popcountll(word);
            if (width == chunk)
                std::memcpy(row(i) + begin / 8, &word, sizeof word);
            else
                std::memcpy(row(i) + begin / 8, &word, (width + 7) / 8);
        }
    }
};

}  // namespace ra::RA_ISA

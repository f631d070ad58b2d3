// The weighted mean of every item, and every worker's loss beside it, slice by slice: the lanes of vectors are items,
// or, in wide slices, answers to one.
#pragma once

#include "base/lanes.hpp"
#include "truth/losses.hpp"
#include "truth/slices.hpp"

namespace ra::RA_ISA {

// Rounded to whole numbers; v is below 2^51 in size.
inline Whole<double> whole(Vec<double> v) {
    const Vec<double> shift = splat(0x1.8p52);
    return (Whole<double>)(v + shift) - (Whole<double>)shift;
}

inline Vec<double> to_real(Whole<double> v) { return __builtin_convertvector(v, Vec<double>); }

inline Vec<double> weights_of(const Worker* workers, const std::int32_t* which) {
#if defined(RA_AVX512)
    const __m512i places = _mm512_slli_epi64(_mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i*)which)), 1);
    return _mm512_mask_i64gather_pd(_mm512_setzero_pd(), 0xff, places, &workers->weight, 8);
#else
    Vec<double> v;
    for (int l = 0; l < lanes<double>; ++l) v[l] = workers[which[l]].weight;
    return v;
#endif
}

constexpr std::make_integer_sequence<int, lanes<double>> all_lanes;

// The weights of workers that stand next to each other, and whole numbers added to their sums.
template <int... l>
Vec<double> weights_from(const Worker* workers, std::integer_sequence<int, l...>) {
    const auto* pairs = &workers->weight;
    const Vec<double> first = load_vector(pairs), second = load_vector(pairs + lanes<double>);
    return __builtin_shufflevector(first, second, (2 * l)...);
}
template <int half, int... l>
Vec<double> beside_zeros(Whole<double> v, std::integer_sequence<int, l...>) {
    constexpr int from = half * lanes<double> / 2;
    return (Vec<double>)__builtin_shufflevector(v, Whole<double>{}, (l % 2 == 0 ? lanes<double> : from + l / 2)...);
}
inline void add_to(Worker* workers, Whole<double> steps) {
    auto* pairs = &workers->weight;
    const auto add = [&](double* to, Vec<double> more) {
        store_vector(to, (Vec<double>)((Whole<double>)load_vector(to) + (Whole<double>)more));
    };
    add(pairs, beside_zeros<0>(steps, all_lanes));
    add(pairs + lanes<double>, beside_zeros<1>(steps, all_lanes));
}

// `count` vectors of answers, `stride` answers apart; those of a tall slice have one item a lane. A full one has the
// answers of all workers, in their order.
struct Column {
    const std::int32_t* workers;
    const double* values;
    std::int64_t count, stride;
    bool wide, full;
};

struct Place {  // what belongs to the items of a column, lane by lane
    Vec<double> centre{}, inverse{}, factor{}, unit = splat(1.0), unit_z = splat(1.0);
};

template <Loss loss>
class WeightedMeans {
  public:
    WeightedMeans(const Answers& answers, const Slices& slices, const ItemScale& scale, double prior,
                  const double* before, double* truth)
        : answers_(answers), slices_(slices), scale_(scale), prior_(prior), before_(before), truth_(truth) {}

    // The largest change of a truth of slice s. `memory` has room for the weights of its answers.
    double run(std::size_t s, Vec<double>* memory, const Losses& losses) const {
        constexpr std::int64_t step = lanes<double>;
        const std::int64_t begin = slices_.starts[s], height = slices_.starts[s + 1] - begin;
        const std::int64_t eight = Slices::width;
        const auto* workers = slices_.workers + begin * eight;
        const auto* values = slices_.values + begin * eight;
        const std::int32_t* items = items_of(slices_, s);
        if (s < slices_.wide)
            return run(Column{workers, values, height * (eight / step), step, true, everybody(items[0])}, items, memory,
                       losses);
        double moved = 0.0;
        for (std::int64_t l = 0; l < eight; l += step)
            moved = std::max(
                moved, run(Column{workers + l, values + l, height, eight, false, false}, items + l, memory, losses));
        return moved;
    }

  private:
    double run(const Column& column, const std::int32_t* items, Vec<double>* given, const Losses& losses) const {
        const Place at = place(items, column.wide);
        const Vec<double> inverse = relative(column, given, losses.workers);
        Whole<double> top{}, bottom{};
        for (std::int64_t j = 0; j < column.count; ++j) {
            const Vec<double> r = given[j] * inverse;
            top += whole(r * z(column, at, j) * at.unit_z);
            bottom += whole(r * at.unit);
        }
        if (column.wide) top = Whole<double>{} + total<double>(top), bottom = Whole<double>{} + total<double>(bottom);
        const Vec<double> sum = to_real(bottom) * (1.0 / at.unit);
        const Vec<double> truth = to_real(top) * (1.0 / at.unit_z) / (prior_ * inverse + sum);
        add_losses(column, at, truth, losses);
        return publish(items, column.wide, truth);
    }

    Place place(const std::int32_t* items, bool wide) const {
        constexpr int last = lanes<double> - 1;
        Place at;
        if (!wide && items[last] == items[0] + last && count(items[0]) == count(items[last])) {
            const Units units(count(items[0]));  // a tall slice has its items in the order of their numbers of answers
            return {load_vector(scale_.centre + items[0]), load_vector(scale_.inverse + items[0]),
                    load_vector(scale_.factor + items[0]), splat(units.weight), splat(units.weight_z)};
        }
        for (int l = 0; l <= last; ++l) {
            const std::int32_t n = items[wide ? 0 : l];
            if (n < 0) break;
            const Units units(count(n));
            at.centre[l] = scale_.centre[n];
            at.inverse[l] = scale_.inverse[n];
            at.factor[l] = scale_.factor[n];
            at.unit[l] = units.weight;
            at.unit_z[l] = units.weight_z;
        }
        return at;
    }

    bool everybody(std::int32_t item) const { return count(item) == static_cast<std::int64_t>(answers_.count); }
    std::int64_t count(std::int32_t item) const { return answers_.starts[item + 1] - answers_.starts[item]; }

    Vec<double> z(const Column& column, const Place& at, std::int64_t j) const {
        return (load_vector(column.values + j * column.stride) - at.centre) * at.inverse;
    }

    // The answers' weights into `given`; one over the largest of each item. Where all are zero, they count alike.
    Vec<double> relative(const Column& column, Vec<double>* given, const Worker* workers) const {
        Vec<double> most{};
        for (std::int64_t j = 0; j < column.count; ++j) {
            given[j] = column.full ? weights_from(workers + j * column.stride, all_lanes)
                                   : weights_of(workers, column.workers + j * column.stride);
            most = max(most, given[j]);
        }
        if (column.wide) most = splat(largest(most));
        const Mask<double> alike = equal(most, Vec<double>{});
        if (!any(alike)) return 1.0 / most;
        const auto gap = static_cast<std::int32_t>(answers_.count);
        for (std::int64_t j = 0; j < column.count; ++j) {
            Vec<double> present;
            for (int l = 0; l < lanes<double>; ++l)
                present[l] = column.workers[j * column.stride + l] == gap ? 0.0 : 1.0;
            given[j] = choose(alike, present, given[j]);
        }
        return 1.0 / choose(alike, splat(1.0), most);
    }

    void add_losses(const Column column, const Place& at, Vec<double> truth, const Losses& losses) const {
        const Vec<double> factor = at.factor * losses.coarse;  // a power of two: exactly what comes of it later
        Worker* const workers = losses.workers;
        for (std::int64_t j = 0; j < column.count; ++j) {
            const Vec<double> error = z(column, at, j) - truth,
                              size = loss == Loss::absolute ? abs(error) : error * error;
            const Whole<double> steps = whole(factor * size);
            const std::int32_t* who = column.workers + j * column.stride;
            if (column.full)
                add_to(workers + j * column.stride, steps);
            else
                for (int l = 0; l < lanes<double>; ++l) workers[who[l]].coarse += static_cast<std::uint64_t>(steps[l]);
            if (losses.fine_sums == nullptr) continue;
            const Whole<double> rest = whole((at.factor * size - to_real(steps) * losses.step) * losses.fine);
            for (int l = 0; l < lanes<double>; ++l) losses.fine_sums[who[l]] += static_cast<std::uint64_t>(rest[l]);
        }
    }

    double publish(const std::int32_t* items, bool wide, Vec<double> truth) const {
        double moved = 0.0;
        for (int l = 0; l < (wide ? 1 : lanes<double>) && items[l] >= 0; ++l) {
            truth_[items[l]] = truth[l];
            if (before_ != nullptr) moved = std::max(moved, std::fabs(truth[l] - before_[items[l]]));
        }
        return moved;
    }

    const Answers& answers_;
    const Slices& slices_;
    const ItemScale& scale_;
    const double prior_;
    const double* before_;
    double* truth_;
};

}  // namespace ra::RA_ISA

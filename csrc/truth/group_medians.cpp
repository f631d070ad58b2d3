// The median over groups of workers of the weighted mean within each: the defence MWA (Fang et al., WWW 2021). A
// group's weights are taken relative to its largest. A group without weight is left out; where all of an item are, its
// answers count alike. O(A + groups log groups).
#include "truth/answers.hpp"

namespace ra::RA_ISA {

namespace {

struct Group {
    double largest;
    std::int64_t top, bottom;
};

double median_of(double* values, std::size_t count) {
    std::sort(values, values + count);
    return 0.5 * values[(count - 1) / 2] + 0.5 * values[count / 2];
}

}  // namespace

void group_medians(const Answers& answers, const ItemScale& scale, const double* weights, const std::int32_t* groups,
                   std::size_t count, double* out, int threads) {
    const Scratch scratch(threads, count * (sizeof(Group) + sizeof(double)));
    each_row(answers.starts, answers.items, 1, threads, [&](std::size_t n, int worker) {
        auto* group = static_cast<Group*>(scratch.of(worker));
        auto* means = reinterpret_cast<double*>(group + count);
        const std::int64_t begin = answers.starts[n], end = answers.starts[n + 1];
        const Units units(end - begin);
        std::fill_n(group, count, Group{0.0, 0, 0});
        const auto of = [&](std::int64_t a) -> Group& { return group[groups[answers.workers[a]]]; };
        double heaviest = 0.0;
        for (std::int64_t a = begin; a < end; ++a) {
            of(a).largest = std::max(of(a).largest, weights[answers.workers[a]]);
            heaviest = std::max(heaviest, of(a).largest);
        }
        const double without = heaviest > 0.0 ? 0.0 : 1.0;
        for (std::int64_t a = begin; a < end; ++a) {
            Group& own = of(a);
            const double inverse = own.largest > 0.0 ? 1.0 / own.largest : 1.0;
            const double r = own.largest > 0.0 ? weights[answers.workers[a]] * inverse : without;
            own.top += whole(r * ((answers.values[a] - scale.centre[n]) * scale.inverse[n]) * units.weight_z);
            own.bottom += whole(r * units.weight);
        }
        std::size_t present = 0;
        for (std::size_t g = 0; g < count; ++g)
            if (group[g].bottom > 0)
                means[present++] = static_cast<double>(group[g].top) * (1.0 / units.weight_z) /
                                   (static_cast<double>(group[g].bottom) * (1.0 / units.weight));
        out[n] = median_of(means, present);
    });
}

}  // namespace ra::RA_ISA

// Every item's truth given the workers' weights, and every worker's loss beside it, in one pass over the answers.
// CRH (Li et al., SIGMOD 2014), GTM (Zhao and Han, QDB 2012) and CATD (Li et al., VLDB 2014) are iterations of this
// step. All sums are of whole numbers; each thread has its own sums of the workers, added up at the end. O(A).
#include <algorithm>

#include "truth/answers.hpp"

namespace ra::RA_ISA {

namespace {

struct Row {
    std::int64_t begin, end;
    double centre, inverse, factor;
};

// A worker's sum of losses: coarse steps, and in fine steps what they leave over.
struct Sum {
    std::int64_t coarse, fine;
};

class Losses {
  public:
    Losses(const Answers& answers, Sum* sums)
        : coarse_(answers.coarse),
          step_(1.0 / answers.coarse),
          fine_(answers.fine),
          workers_(answers.workers),
          sums_(sums) {}

    void add(std::int64_t a, double loss) const {
        const std::int64_t steps = whole(loss * coarse_);
        Sum& sum = sums_[workers_[a]];
        sum.coarse += steps;
        sum.fine += whole((loss - static_cast<double>(steps) * step_) * fine_);
    }

  private:
    const double coarse_, step_, fine_;
    const std::int32_t* workers_;
    Sum* sums_;
};

struct Step {
    const Answers& answers;
    const double* weights;
    double prior;
    Location location;
    Loss loss;

    double z(const Row& row, std::int64_t a) const { return (answers.values[a] - row.centre) * row.inverse; }

    double mean(const Row& row, const Relative& relative, const Units& units) const {
        std::int64_t top = 0, bottom = 0;
        for (std::int64_t a = row.begin; a < row.end; ++a) {
            const double r = relative(weights[answers.workers[a]]);
            top += whole(r * z(row, a) * units.weight_z);
            bottom += whole(r * units.weight);
        }
        const double total = static_cast<double>(bottom) * (1.0 / units.weight);
        return static_cast<double>(top) * (1.0 / units.weight_z) / (prior * relative.inverse + total);
    }

    std::int64_t weight(std::int64_t a, const Relative& relative, const Units& units) const {
        return whole(relative(weights[answers.workers[a]]) * units.weight);
    }

    double median(const Row& row, const Relative& relative, const Units& units) const {
        std::int64_t total = 0, up_to = 0;
        for (std::int64_t a = row.begin; a < row.end; ++a) total += weight(a, relative, units);
        std::int64_t k = row.begin;
        while (2 * (up_to += weight(k, relative, units)) < total) ++k;
        std::int64_t next = k;
        if (2 * up_to == total)
            while (weight(++next, relative, units) == 0) {
            }
        return 0.5 * z(row, k) + 0.5 * z(row, next);
    }

    void add_errors(const Row& row, double truth, const Losses& losses) const {
        for (std::int64_t a = row.begin; a < row.end; ++a) {
            const double error = z(row, a) - truth;
            losses.add(a, row.factor * (loss == Loss::absolute ? std::fabs(error) : error * error));
        }
    }

    // visit(begin, end, weight) for each category of the row.
    template <class Visit>
    void each_category(const Row& row, const Relative& relative, const Units& units, const Visit& visit) const {
        for (std::int64_t a = row.begin; a < row.end;) {
            const std::int64_t first = a;
            std::int64_t sum = 0;
            for (; a < row.end && answers.values[a] == answers.values[first]; ++a) sum += weight(a, relative, units);
            visit(first, a, sum);
        }
    }

    double vote(const Row& row, const Relative& relative, const Units& units, const Losses& losses) const {
        std::int64_t best = -1, total = 0, squares = 0;
        double truth = 0.0;
        each_category(row, relative, units, [&](std::int64_t first, std::int64_t, std::int64_t sum) {
            if (sum > best) best = sum, truth = answers.values[first];
            total += sum;
        });
        const double all = static_cast<double>(total);
        const auto share = [&](std::int64_t sum) { return static_cast<double>(sum) / all; };
        each_category(row, relative, units, [&](std::int64_t, std::int64_t, std::int64_t sum) {
            squares += whole(share(sum) * share(sum) * power(60));
        });
        const double together = static_cast<double>(squares) * power(-60);
        each_category(row, relative, units, [&](std::int64_t first, std::int64_t end, std::int64_t sum) {
            const double of_shares = 1.0 - 2.0 * share(sum) + together;
            const double zero_one = answers.values[first] != truth ? 1.0 : 0.0;
            for (std::int64_t a = first; a < end; ++a)
                losses.add(a, location == Location::share ? of_shares : zero_one);
        });
        return truth;
    }

    double run(const Row& row, const Losses& losses) const {
        const Relative relative(answers, weights, row.begin, row.end);
        const Units units(row.end - row.begin);
        if (location == Location::vote || location == Location::share) return vote(row, relative, units, losses);
        const double truth = location == Location::mean ? mean(row, relative, units) : median(row, relative, units);
        add_errors(row, truth, losses);
        return truth;
    }
};

}  // namespace

void truth_step(const Answers& answers, const ItemScale& scale, const double* weights, double prior, Location location,
                Loss loss, double* truth, double* losses, int threads) {
    // Sums of all workers for every thread: no more of them than answers.
    const auto room =
        static_cast<int>(std::min<std::size_t>(64, answers.size / std::max<std::size_t>(answers.count, 1)));
    const int workers = std::max(1, std::min(threads, room));
    const Scratch scratch(workers, answers.count * sizeof(Sum));
    const auto sums = [&](int worker) { return static_cast<Sum*>(scratch.of(worker)); };
    for (int worker = 0; worker < workers; ++worker) std::fill_n(sums(worker), answers.count, Sum{0, 0});
    const Step step{answers, weights, prior, location, loss};
    parallel(tasks_of(answers.items), workers, [&](std::size_t task, int worker) {
        const Losses into(answers, sums(worker));
        for (std::size_t n = task * items_of_a_task; n < last_of(task, answers.items); ++n)
            truth[n] = step.run(
                {answers.starts[n], answers.starts[n + 1], scale.centre[n], scale.inverse[n], scale.factor[n]}, into);
        return true;
    });
    for (std::size_t k = 0; k < answers.count; ++k) {
        Sum all{0, 0};
        for (int worker = 0; worker < workers; ++worker) {
            all.coarse += sums(worker)[k].coarse;
            all.fine += sums(worker)[k].fine;
        }
        losses[k] = static_cast<double>(all.coarse) / answers.coarse + static_cast<double>(all.fine) / answers.fine;
    }
}

}  // namespace ra::RA_ISA

// Every item's truth given the workers' weights, and every worker's loss beside it, in one pass over the answers.
// CRH (Li et al., SIGMOD 2014), GTM (Zhao and Han, QDB 2012) and CATD (Li et al., VLDB 2014) are iterations of this
// step. All sums are of whole numbers; each thread has its own sums of the workers, added up at the end. O(A).
#include "truth/weighted_means.hpp"

namespace ra::RA_ISA {

namespace {

struct Row {
    std::int64_t begin, end;
    double unit;     // of sums of weights
    double inverse;  // one over the largest weight of the row
    bool alike;      // all weights are zero, and every answer counts as 1
};

// Weighted medians and votes, row by row.
class Rows {
  public:
    Rows(const Answers& answers, const ItemScale& scale, Location location, Loss loss)
        : answers_(answers), scale_(scale), location_(location), loss_(loss) {}

    double run(std::size_t n, const Losses& losses) const {
        const Row row = row_of(n, losses.workers);
        if (location_ == Location::vote || location_ == Location::share) return vote(row, losses);
        const double truth = median(row, n, losses.workers);
        for (std::int64_t a = row.begin; a < row.end; ++a) {
            const double error = z(n, a) - truth;
            losses.add(answers_.workers[a],
                       scale_.factor[n] * (loss_ == Loss::absolute ? std::fabs(error) : error * error));
        }
        return truth;
    }

  private:
    Row row_of(std::size_t n, const Worker* workers) const {
        const std::int64_t begin = answers_.starts[n], end = answers_.starts[n + 1];
        double largest = 0.0;
        for (std::int64_t a = begin; a < end; ++a) largest = std::max(largest, workers[answers_.workers[a]].weight);
        const bool alike = largest == 0.0;
        return {begin, end, Units(end - begin).weight, alike ? 1.0 : 1.0 / largest, alike};
    }

    double z(std::size_t n, std::int64_t a) const {
        return (answers_.values[a] - scale_.centre[n]) * scale_.inverse[n];
    }

    std::int64_t weight(const Row& row, std::int64_t a, const Worker* workers) const {
        return whole((row.alike ? 1.0 : workers[answers_.workers[a]].weight * row.inverse) * row.unit);
    }

    double median(const Row& row, std::size_t n, const Worker* workers) const {
        std::int64_t total = 0, up_to = 0;
        for (std::int64_t a = row.begin; a < row.end; ++a) total += weight(row, a, workers);
        std::int64_t k = row.begin;
        while (2 * (up_to += weight(row, k, workers)) < total) ++k;
        std::int64_t next = k;
        if (2 * up_to == total)
            while (weight(row, ++next, workers) == 0) {
            }
        return 0.5 * z(n, k) + 0.5 * z(n, next);
    }

    // visit(begin, end, weight) for each category of the row.
    template <class Visit>
    void each_category(const Row& row, const Worker* workers, const Visit& visit) const {
        for (std::int64_t a = row.begin; a < row.end;) {
            const std::int64_t first = a;
            std::int64_t sum = 0;
            for (; a < row.end && answers_.values[a] == answers_.values[first]; ++a) sum += weight(row, a, workers);
            visit(first, a, sum);
        }
    }

    double vote(const Row& row, const Losses& losses) const {
        std::int64_t best = -1, total = 0, squares = 0;
        double truth = 0.0;
        each_category(row, losses.workers, [&](std::int64_t first, std::int64_t, std::int64_t sum) {
            if (sum > best) best = sum, truth = answers_.values[first];
            total += sum;
        });
        const double all = static_cast<double>(total);
        const auto share = [&](std::int64_t sum) { return static_cast<double>(sum) / all; };
        each_category(row, losses.workers, [&](std::int64_t, std::int64_t, std::int64_t sum) {
            squares += whole(share(sum) * share(sum) * power(60));
        });
        const double together = static_cast<double>(squares) * power(-60);
        each_category(row, losses.workers, [&](std::int64_t first, std::int64_t end, std::int64_t sum) {
            const double of_shares = 1.0 - 2.0 * share(sum) + together;
            const double zero_one = answers_.values[first] != truth ? 1.0 : 0.0;
            for (std::int64_t a = first; a < end; ++a)
                losses.add(answers_.workers[a], location_ == Location::share ? of_shares : zero_one);
        });
        return truth;
    }

    const Answers& answers_;
    const ItemScale& scale_;
    const Location location_;
    const Loss loss_;
};

// What every thread works in: its sums, the weights of the answers of one slice, and the largest change it has seen.
class Workshop {
  public:
    Workshop(int workers, std::size_t count, const ItemScale& scale, std::int64_t tallest_slice)
        : workers_(workers),
          count_(count),
          scale_(scale),
          weights_at_((Losses::bytes(count, scale) + 63) / 64 * 64),
          moved_at_(weights_at_ + static_cast<std::size_t>(tallest_slice) * Slices::width * sizeof(double)),
          memory_(workers, moved_at_ + sizeof(double)) {}

    Losses losses(int worker) const { return {memory_.of(worker), count_, scale_}; }
    Vec<double>* weights(int worker) const { return reinterpret_cast<Vec<double>*>(at(worker, weights_at_)); }
    double& moved(int worker) const { return *reinterpret_cast<double*>(at(worker, moved_at_)); }

    void clear(const double* weights) const {
        for (int worker = 0; worker < workers_; ++worker) {
            losses(worker).clear(weights, count_);
            moved(worker) = 0.0;
        }
    }

    // All threads' sums, and the largest change.
    double collect(double* out) const {
        double most = 0.0;
        for (int worker = 0; worker < workers_; ++worker) most = std::max(most, moved(worker));
        for (std::size_t k = 0; k < count_; ++k) {
            std::uint64_t coarse = 0, fine = 0;
            for (int worker = 0; worker < workers_; ++worker) {
                const Losses own = losses(worker);
                coarse += own.workers[k].coarse;
                fine += own.fine_sums == nullptr ? 0 : own.fine_sums[k];
            }
            out[k] = static_cast<double>(static_cast<std::int64_t>(coarse)) / scale_.coarse;
            if (scale_.fine > 0.0) out[k] += static_cast<double>(static_cast<std::int64_t>(fine)) / scale_.fine;
        }
        return most;
    }

  private:
    unsigned char* at(int worker, std::size_t offset) const {
        return static_cast<unsigned char*>(memory_.of(worker)) + offset;
    }

    const int workers_;
    const std::size_t count_;
    const ItemScale& scale_;
    const std::size_t weights_at_, moved_at_;
    const Scratch memory_;
};

std::int64_t tallest_of(const Slices& slices) {
    std::int64_t most = Slices::tallest;
    for (std::size_t s = 0; s < slices.wide; ++s) most = std::max(most, slices.starts[s + 1] - slices.starts[s]);
    return most;
}

template <Loss loss>
void weighted_means(const Answers& answers, const Slices& slices, const ItemScale& scale, double prior,
                    const double* before, double* truth, const Workshop& shop, int threads) {
    const WeightedMeans<loss> means(answers, slices, scale, prior, before, truth);
    each_row(slices.starts, slices.count, Slices::width, threads, [&](std::size_t s, int worker) {
        const double moved = means.run(s, shop.weights(worker), shop.losses(worker));
        shop.moved(worker) = std::max(shop.moved(worker), moved);
    });
}

}  // namespace

// Slices are for means alone. Returns the largest change of a truth from `before`, or 0 where that is null.
double truth_step(const Answers& answers, const Slices* slices, const ItemScale& scale, const double* weights,
                  double prior, Location location, Loss loss, const double* before, double* truth, double* losses,
                  int threads) {
    // Sums of all workers for every thread: no more of them than answers.
    const auto room =
        static_cast<int>(std::min<std::size_t>(64, answers.size / std::max<std::size_t>(answers.count, 1)));
    const double nanoseconds = 2.0 * static_cast<double>(answers.size);
    const int workers = std::max(1, std::min(worth_waking(threads, nanoseconds), room));
    const Workshop shop(workers, answers.count, scale, location == Location::mean ? tallest_of(*slices) : 0);
    shop.clear(weights);
    if (location == Location::mean) {
        const auto run = loss == Loss::absolute ? weighted_means<Loss::absolute> : weighted_means<Loss::squared>;
        run(answers, *slices, scale, prior, before, truth, shop, workers);
    } else {
        const Rows rows(answers, scale, location, loss);
        each_row(answers.starts, answers.items, 1, workers, [&](std::size_t n, int worker) {
            truth[n] = rows.run(n, shop.losses(worker));
            if (before != nullptr) shop.moved(worker) = std::max(shop.moved(worker), std::fabs(truth[n] - before[n]));
        });
    }
    return shop.collect(losses);
}

}  // namespace ra::RA_ISA

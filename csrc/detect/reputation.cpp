#include "detect/reputation.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace ra {

void beta_reputation(const std::int64_t* accepted, const std::int64_t* rejected, std::size_t n, BetaPrior prior,
                     double* out) {
    for (std::size_t i = 0; i < n; ++i) {
        const double alpha =
            prior.positive_weight * static_cast<double>(accepted[i]) + prior.prior_weight * prior.prior;
        const double beta =
            (1 - prior.positive_weight) * static_cast<double>(rejected[i]) + prior.prior_weight * (1 - prior.prior);
        out[i] = alpha / (alpha + beta);
    }
}

void decayed_score(const std::int64_t* rounds, const double* observed, std::size_t m, std::size_t s, Decay decay,
                   double* out) {
    // Nearly every age is small, and an exponential costs more than all the rest.
    std::array<double, 64> young;
    const auto tabled = std::min<std::int64_t>(decay.window, young.size());
    for (std::int64_t age = 0; age < tabled; ++age)
        young[static_cast<std::size_t>(age)] = std::exp(-decay.rate * static_cast<double>(age));
    for (std::size_t i = 0; i < m; ++i) {
        double total = 0, weight = 0;
        for (std::size_t j = i * s; j < (i + 1) * s; ++j) {
            const std::int64_t age = decay.now - rounds[j];
            if (rounds[j] < 0 || age >= decay.window) continue;
            const bool in_table = age >= 0 && age < tabled;
            const double theta =
                in_table ? young[static_cast<std::size_t>(age)] : std::exp(-decay.rate * static_cast<double>(age));
            total += theta * observed[j];
            weight += theta;
        }
        out[i] = total / weight;
    }
}

}  // namespace ra

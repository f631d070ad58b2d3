// The reputation model's arithmetic, in double. Small, so compiled once.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ra {

struct BetaPrior {
    double positive_weight, prior, prior_weight;
};

// out[i] = (kappa P + W a) / (kappa P + (1 - kappa) Q + W): spec B.2, eqs. 6-9.
void beta_reputation(const std::int64_t* accepted, const std::int64_t* rejected, std::size_t n, BetaPrior prior,
                     double* out);

struct Decay {
    std::int64_t now;
    double rate;
    std::int64_t window;
};

// out[i] = mean of row i of observed (m, s), weighted by exp(-rate * age) over the entries with round >= 0 and
// age < window: spec B.3, eqs. 11-12. NaN where there is none.
void decayed_score(const std::int64_t* rounds, const double* observed, std::size_t m, std::size_t s, Decay decay,
                   double* out);

}  // namespace ra

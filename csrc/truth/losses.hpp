// A worker's weight and the sum of its losses, side by side: where one is read, the other is near.
#pragma once

#include "truth/answers.hpp"

namespace ra::RA_ISA {

struct Worker {
    double weight;
    std::uint64_t coarse;
};

// One thread's sums for all workers and for gaps, in coarse steps and, where these are not enough, in fine ones what
// they leave over.
class Losses {
  public:
    static constexpr std::size_t gaps = Slices::width;  // as many as a vector may reach beyond the last worker

    static std::size_t bytes(std::size_t count, const ItemScale& scale) {
        return (count + gaps) * (sizeof(Worker) + (scale.fine > 0.0 ? sizeof(std::uint64_t) : 0));
    }

    Losses(void* memory, std::size_t count, const ItemScale& scale)
        : workers(static_cast<Worker*>(memory)),
          fine_sums(scale.fine > 0.0 ? reinterpret_cast<std::uint64_t*>(workers + count + gaps) : nullptr),
          coarse(scale.coarse),
          step(1.0 / scale.coarse),
          fine(scale.fine) {}

    void clear(const double* weights, std::size_t count) const {
        for (std::size_t k = 0; k < count; ++k) workers[k] = {weights[k], 0};
        std::fill_n(workers + count, gaps, Worker{0.0, 0});
        if (fine_sums != nullptr) std::fill_n(fine_sums, count + gaps, 0);
    }

    void add(std::int32_t worker, double loss) const {
        const std::int64_t steps = whole(loss * coarse);
        workers[worker].coarse += static_cast<std::uint64_t>(steps);
        if (fine_sums != nullptr)
            fine_sums[worker] += static_cast<std::uint64_t>(whole((loss - static_cast<double>(steps) * step) * fine));
    }

    Worker* const workers;
    std::uint64_t* const fine_sums;
    const double coarse, step, fine;
};

}  // namespace ra::RA_ISA

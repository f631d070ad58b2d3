// The search for one lane's unknown t: where about half of n rows lie below it. It is told how many rows are certainly
// below and certainly above a trial t, and proposes the next trial, until few rows are left between two of them.
#pragma once

#include <algorithm>
#include <limits>

namespace ra::RA_ISA {

template <class T>
class Bracket {
  public:
    // spread: of the t that hold about half of the rows. The guess may be a slope of the data: off it, lest all ties be
    // met.
    // narrowest: a bracket in which rounding would decide. noise: how far from t it misplaces rows.
    Bracket(int n, T guess, T spread, T narrowest, T noise)
        : next(guess + spread * T(0.0137)),
          n_(n),
          rate_(T(n) / 2 / spread),
          narrowest_(narrowest),
          noise_(std::max(noise, narrowest / 4)),
          aim_(T(enough) / 4) {}
    Bracket() = default;

    T low = -std::numeric_limits<T>::infinity(), high = std::numeric_limits<T>::infinity(), next = 0;
    int below = 0, above = 0;  // rows certainly below low, certainly above high

    enum class Side { low, high, neither };

    // The rows below and above `next`; tells which end of the bracket `next` became.
    Side narrow(int rows_below, int rows_above) {
        const T t = next, misfit = T(rows_below - rows_above) / 2;
        Side side = Side::neither;
        if (n_ - rows_above <= (n_ - 1) / 2)
            side = Side::low, low = t, below = rows_below, low_misfit_ = misfit;
        else if (rows_below > n_ / 2)
            side = Side::high, high = t, above = rows_above, high_misfit_ = misfit;
        // Rows whose two middle slopes t separates are on no side: aim past half of them.
        const int split = n_ - rows_below - rows_above;
        aim_ = std::max(aim_, T(split) / 2 + 1);
        if (side == Side::neither || open())
            step_from(t, misfit);
        else
            interpolate();
        // The later, the more rows are left to be finished: fewer lanes wait for one.
        const int few = enough << std::max(0, ++trials_ - 3);
        const int left = n_ - below - above;
        done_ = trials_ >= most_trials || (trials_ >= patient && left > n_ / 2) ||
                (!open() && (left <= few + split || high - low <= narrowest_));
        return side;
    }
    bool done() const { return done_; }
    // Whether no row that rounding has misplaced, near an end, could be beyond what was found.
    bool clears(T found) const { return low + noise_ <= found && found <= high - noise_; }
    void settle() { done_ = true; }

  private:
    static constexpr int most_trials = 7, patient = 4;  // if few rows have been told by then, they are alike
    static constexpr int enough = 8;  // rows that are as soon finished as narrowed down by another trial

    bool open() const {
        return low == -std::numeric_limits<T>::infinity() || high == std::numeric_limits<T>::infinity();
    }

    // Towards the end that is missing, or farther away, a little beyond the goal, and more each time.
    void step_from(T t, T misfit) {
        const bool lower = high - t < t - low || (open() && misfit > 0);
        next = t + ((lower ? -aim_ : aim_) * farther_ - misfit) / rate_;
        if (!(low < next && next < high)) next = t + ((lower ? low : high) - t) / 2;
        farther_ *= 4;
    }
    // Regula falsi, aimed a little beyond the goal on the side of the worse end; halves the bracket when that stalls.
    void interpolate() {
        const T reach = std::min(aim_, (high_misfit_ - low_misfit_) / 4);
        const T goal = -low_misfit_ > high_misfit_ ? -reach : reach;
        const T part = trials_ > 4 ? T(0.5) : (goal - low_misfit_) / (high_misfit_ - low_misfit_);
        next = low + (high - low) * part;
        // Nearer to an end, rounding would decide.
        next = std::max(low + narrowest_ / 2, std::min(high - narrowest_ / 2, next));
    }

    int n_ = 0, trials_ = 0;
    T rate_ = 1, narrowest_ = 0, noise_ = 0, aim_ = 1, farther_ = 1, low_misfit_ = 0, high_misfit_ = 0;
    bool done_ = false;
};

}  // namespace ra::RA_ISA

#include "line/design.hpp"

namespace ra::RA_ISA {

namespace {

// Of the numbers below n.
int bits_of(int n) {
    int bits = 0;
    while (1 << bits < n) ++bits;
    return bits;
}

}  // namespace

template <class T>
Gaps<T>::Gaps(int n_) : n(n_), memory_(1, size() * sizeof(T)) {
    std::fill(table(), table() + size(), T(0));
    for (int gap = 1; gap < n; ++gap) {
        const T inverse = static_cast<T>(1.0 / gap);
        from(0)[gap] = others_from(0)[gap - 1] = inverse;
        from(0)[-gap] = others_from(0)[-gap] = -inverse;
    }
    from(0)[0] = std::numeric_limits<T>::quiet_NaN();
}

template <class T>
Design<T>::Design(std::size_t n_)
    : n(static_cast<int>(n_)),
      gaps(n),
      thinning(n),
      thinned_gaps(thinning.size),
      unit_bits(bits_of(n)),
      words(unit_bits, sizeof(T) == 4 ? 8 : 13),
      finer_words(unit_bits, std::max(4, (unit_bits + 1) / 2)),
      unit(T(1 << unit_bits)),
      units_(1, count() * sizeof(T)) {
    for (std::size_t i = 0; i < count(); ++i) units()[i] = T(i) * unit;
}

template <class T>
Widths<T>::Widths(std::size_t n, double interval_width, double scale_floor)
    : deviation(static_cast<T>(1.4826 * (1.0 + 5.0 / static_cast<double>(n - 1)))),
      floor(static_cast<T>(scale_floor)),
      memory(1, n * sizeof(T)),
      width(static_cast<T*>(memory.of(0))) {
    const double count = static_cast<double>(n), centre = (count - 1) / 2;
    const double spread = count * (count * count - 1) / 12;  // sum of (x - centre)^2
    for (std::size_t i = 0; i < n; ++i) {
        const double x = static_cast<double>(i) - centre;
        const double leverage = 1 / count + x * x / spread;
        width[i] = static_cast<T>(interval_width * std::sqrt(2 / count) * std::sqrt(1 - leverage));
    }
}

template class Gaps<float>;
template class Gaps<double>;
template struct Design<float>;
template struct Design<double>;
template struct Widths<float>;
template struct Widths<double>;

}  // namespace ra::RA_ISA

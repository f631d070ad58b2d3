// The median slope of every row, s_i = median over j != i of (y_j - y_i) / (j - i), by selection networks: all lanes at
// once, n^2 slopes and n straight-line networks of n - 1 inputs.
#pragma once

#include "design.hpp"
#include "networks.hpp"

namespace ra::RA_ISA {

constexpr int largest_network = straight_line;

// 2 <= n <= largest_network.
template <class T>
void row_medians(const Gaps<T>& gaps, const Vec<T>* y, Vec<T>* s);

}  // namespace ra::RA_ISA

// The median slope of every row, s_i = median over j != i of (y_j - y_i) / (j - i), by selection networks: all lanes at
// once, n^2 slopes and n straight-line networks of n - 1 inputs.
#pragma once

#include "design.hpp"
#include "networks.hpp"

namespace ra::RA_ISA {

// Any n from 2; straight-line code up to n = straight_line, loops over memory above. work: n vectors.
template <class T>
void row_medians(const Gaps<T>& gaps, const Vec<T>* y, Vec<T>* s, Vec<T>* work);

}  // namespace ra::RA_ISA

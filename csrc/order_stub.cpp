#include "kernels.hpp"
namespace ra::RA_ISA {
bool median(const RowsView&, void*, int) { return false; }
bool trimmed_mean(const RowsView&, std::size_t, void*, int) { return false; }
bool weighted_mean(const RowsView&, const double*, void*, int) { return false; }
bool rectified_mean(const RowsView&, Bits, const double*, const Rescale&, void*, int) { return false; }
bool rectify(const RowsView&, Bits, const void*, const Rescale&, void*, int) { return false; }
}

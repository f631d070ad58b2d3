#include "kernels.hpp"
namespace ra::RA_ISA {
bool median(const RowsView&, void*, int) { return false; }
bool trimmed_mean(const RowsView&, std::size_t, void*, int) { return false; }
}

#include "kernels.hpp"
namespace ra::RA_ISA {
bool detect(const RowsView&, const Confidence&, double, std::uint8_t*, void*, std::int64_t*, int) { return false; }
bool confidence(const RowsView&, const Confidence&, void*, int) { return false; }
bool repeated_median(const RowsView&, Intercept, void*, void*, int) { return false; }
}

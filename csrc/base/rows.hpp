// Rows<T>: n pointers to d elements of one type, and the types that elements and arithmetic have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/parallel.hpp"
#include "kernels.hpp"

namespace ra::RA_ISA {

struct Half {
    std::uint16_t bits;
};
struct BFloat16 {
    std::uint16_t bits;
};

// float64 is computed in float64, everything else in float32.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
struct Rows {
    using Element = T;
    using Value = Compute<T>;
    const void* const* row;
    std::size_t n, d;

    // Elements need not be aligned: read them through widen().
    const T* at(std::size_t i, std::size_t column) const { return static_cast<const T*>(row[i]) + column; }
};

// Threads, of `most`, for a kernel that takes so many nanoseconds per value.
template <class AnyRows>
int threads_for(const AnyRows& rows, double nanoseconds, int most) {
    return worth_waking(most, nanoseconds * static_cast<double>(rows.n) * static_cast<double>(rows.d));
}

// Calls kernel(Rows<T>) with the view's element type.
template <class Kernel>
auto visit(const RowsView& view, const Kernel& kernel) {
    switch (view.dtype) {
        case DType::f64:
            return kernel(Rows<double>{view.row, view.n, view.d});
        case DType::f16:
            return kernel(Rows<Half>{view.row, view.n, view.d});
        case DType::bf16:
            return kernel(Rows<BFloat16>{view.row, view.n, view.d});
        default:
            return kernel(Rows<float>{view.row, view.n, view.d});
    }
}

}  // namespace ra::RA_ISA

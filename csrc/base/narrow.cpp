// out[j] = values[j] in half precision: the nearest, of two the even one; beyond the largest finite number, that one.
#include "base/output.hpp"
#include "base/parallel.hpp"
#include "base/widen.hpp"

namespace ra::RA_ISA {

namespace {

constexpr std::size_t piece = 16384;  // values of a task

constexpr std::uint32_t largest(Half) { return 0x7bff; }
constexpr std::uint32_t largest(BFloat16) { return 0x7f7f; }

inline std::uint32_t narrowed(std::uint32_t magnitude, BFloat16) {
    return (magnitude + 0x7fff + (magnitude >> 16 & 1)) >> 16;
}
inline std::uint32_t narrowed(std::uint32_t magnitude, Half) {
    constexpr std::uint32_t half = 126U << 23;  // added to .5, a number is rounded to whole units of subnormal halves
    const std::uint32_t normal = (magnitude - (112U << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13;
    const std::uint32_t subnormal = bits_of(float_of(magnitude) + float_of(half)) - half;
    return magnitude < (113U << 23) ? subnormal : normal;
}

template <class T>
void narrow_to(const float* values, std::size_t count, T* out) {
    for (std::size_t j = 0; j < count; ++j) {
        const std::uint32_t bits = bits_of(values[j]), sign = bits >> 16 & 0x8000U;
        const std::uint32_t magnitude = std::min(narrowed(bits & 0x7fffffffU, T{}), largest(T{}));
        out[j].bits = static_cast<std::uint16_t>(magnitude | sign);
    }
}

}  // namespace

void narrow_values(const float* values, std::size_t count, DType to, void* out) {
    if (to == DType::f16)
        narrow_to(values, count, static_cast<Half*>(out));
    else
        narrow_to(values, count, static_cast<BFloat16*>(out));
}

void narrow(const float* values, std::size_t d, Result out, int threads) {
    threads = worth_waking(threads, 0.3 * static_cast<double>(d));
    parallel((d + piece - 1) / piece, threads, [&](std::size_t task, int) {
        const std::size_t begin = task * piece;
        narrow_values(values + begin, std::min(piece, d - begin), out.dtype,
                      static_cast<std::uint16_t*>(out.values) + begin);
        return true;
    });
}

}  // namespace ra::RA_ISA

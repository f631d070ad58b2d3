// Values as step A.8 of the reputation rule leaves them: the rejected ones replaced by the column's median.
#pragma once

#include "base/stage.hpp"
#include "detect/rescale.hpp"

namespace ra::RA_ISA {

// Values nearer than it to zero, or to any one number, do not differ by more than the value range.
template <class C>
inline C always_within(std::size_t n, const Rescale& rescale) {
    if (n < 3) return std::numeric_limits<C>::infinity();
    const C half = static_cast<C>(rescale.value_range / 2);
    return half <= rescale.value_range / 2 ? half : std::nextafter(half, C(0));
}

template <class T>
inline Mask<T> mask_of(std::uint64_t bits) {
#if defined(RA_AVX512)
    return {static_cast<decltype(Mask<T>::bits)>(bits)};
#else
    using Lanes = decltype(Mask<T>::lane);
    Lanes one_bit;
    for (int l = 0; l < lanes<T>; ++l) one_bit[l] = 1 << l;
    return {((Lanes{} + static_cast<decltype(one_bit[0] + 0)>(bits & 0xff)) & one_bit) != 0};
#endif
}

// out[j] = median[j] where bit j of `rejected` is set, else y[j]; j < 64.
template <class C>
inline void rectify_chunk(const C* y, const C* median, std::uint64_t rejected, C* out) {
    for (std::size_t j = 0; j < chunk; j += lanes<C>)
        store_vector(out + j, choose(mask_of<C>(rejected >> j), load_vector(median + j), load_vector(y + j)));
}

// What rescaled_chunk needs: the chunk, and a vector for each row.
template <class C>
constexpr std::size_t rescaled_bytes(std::size_t n) {
    return n * (chunk * sizeof(C) + sizeof(Vec<C>));
}

// The chunk at column `begin`, widened into y (n, 64), zero padded, and rescaled; y has room for rescaled_bytes.
template <class T, class C = Compute<T>>
inline bool rescaled_chunk(const Rows<T>& rows, std::size_t begin, const Rescale& rescale, C* y) {
    const bool finite = stage(rows, begin, std::min(chunk, rows.d - begin), chunk, y);
    auto* work = reinterpret_cast<Vec<C>*>(y + rows.n * chunk);
    for (std::size_t j = 0; j < chunk; j += lanes<C>)
        rescale_columns<C>(InMemory<C>{y + j, chunk}, static_cast<int>(rows.n), rescale, work);
    return finite;
}

}  // namespace ra::RA_ISA

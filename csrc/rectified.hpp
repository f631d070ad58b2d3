// Values as step A.8 of the reputation rule leaves them: the rejected ones replaced by the column's median.
#pragma once

#include "rescale.hpp"

namespace ra::RA_ISA {

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

// rows i of the chunk at column `begin`, widened into y (n, 64), zero padded, and rescaled. `work` as for
// rescale_chunk.
template <class T>
inline bool rescaled_chunk(const Rows<T>& rows, std::size_t begin, const Rescale& rescale, Compute<T>* y,
                           Compute<T>* work) {
    const bool finite = stage(rows, begin, std::min(chunk, rows.d - begin), chunk, y);
    rescale_chunk(y, rows.n, chunk, rescale, work);
    return finite;
}

}  // namespace ra::RA_ISA

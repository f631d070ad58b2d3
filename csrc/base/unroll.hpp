// Loops that the compiler must unroll, so that what they work on stays in registers.
#pragma once

#include <type_traits>
#include <utility>

namespace ra::RA_ISA {

// body(constant 0) ... body(constant count - 1): loops over registers must be unrolled, and this does not depend on
// taste.
template <class Body, int... k>
inline void unroll(const Body& body, std::integer_sequence<int, k...>) {
    (body(std::integral_constant<int, k>{}), ...);
}
template <int count, class Body>
inline void unroll(const Body& body) {
    unroll(body, std::make_integer_sequence<int, count>{});
}

// A number of clients that the compiler knows: what is written for any n then runs in registers.
template <int n>
using Few = std::integral_constant<int, n>;

// body(0) ... body(n - 1), n an int or Few.
template <class Body>
inline void each(int n, const Body& body) {
    for (int i = 0; i < n; ++i) body(i);
}
template <int n, class Body>
inline void each(Few<n>, const Body& body) {
    unroll<n>(body);
}

// body(i, k) for each i, with k = i % chains a constant: sums in chains are independent, for the processor to overlap.
template <int chains, class Body>
inline void each_in_chains(int n, const Body& body) {
    int i = 0;
    for (; i + chains <= n; i += chains) unroll<chains>([&](auto k) { body(i + k, k); });
    unroll<chains>([&](auto k) {
        if (i + k < n) body(i + k, k);
    });
}
template <int chains, int n, class Body>
inline void each_in_chains(Few<n>, const Body& body) {
    unroll<n>([&](auto i) { body(i, Few<i % chains>{}); });
}

}  // namespace ra::RA_ISA

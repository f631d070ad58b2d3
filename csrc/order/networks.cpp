// Sorting networks for 1 to 32 vectors, each unrolled in registers. Exact, and without branches on values; NaNs make
// the order undefined.
#include "order/networks.hpp"

namespace ra::RA_ISA {

namespace {

template <class T, Signs signs, int n>
void sort_straight(Vec<T>* memory) {
    Vec<T> v[n];
    unroll<n>([&](auto i) { v[i] = memory[i]; });
    run_network<n, 0, n, signs>(v);
    unroll<n>([&](auto i) { memory[i] = v[i]; });
}

template <class T, Signs signs, int... n>
void sort_any(Vec<T>* v, int size, std::integer_sequence<int, n...>) {
    static constexpr void (*of_size[])(Vec<T>*) = {sort_straight<T, signs, n + 1>...};
    of_size[size - 1](v);
}

}  // namespace

template <class T, Signs signs>
void sort_few(Vec<T>* v, int n) {
    sort_any<T, signs>(v, n, std::make_integer_sequence<int, straight_line>{});
}

template void sort_few<float>(Vec<float>*, int);
template void sort_few<float, Signs::none>(Vec<float>*, int);
template void sort_few<double>(Vec<double>*, int);

}  // namespace ra::RA_ISA

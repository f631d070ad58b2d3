// Sorting and selection networks over vectors: every lane is sorted on its own, without a branch.
//
// The one network is Batcher's merge exchange, for any n (Knuth, The Art of Computer Programming 3, 5.2.2 M, here
// depth first: the even and the odd positions are sorted, then merged), about n log2(n)^2 / 4 exchanges. A selection
// network is the same one without the exchanges, and halves of exchanges, that no wanted output depends on: the median
// of 9 costs 36 minima and maxima, of 25 costs 202. Up to straight_line vectors a network is unrolled by the compiler.
//
// The interface, for any n, is select(v, n, first, last); sort(v, n) and median(v, n) are two common cases of it.
#pragma once

#include <utility>

#include "simd.hpp"

namespace ra::RA_ISA {

constexpr int straight_line = 32;  // the number of registers of AVX-512; each size also costs code

// Calls visit(low, high) for each exchange of the network on positions offset, offset + stride, ... below n.
template <class Visit>
constexpr void merge_exchange(int n, const Visit& visit, int offset = 0, int stride = 1) {
    if (offset + stride >= n) return;
    merge_exchange(n, visit, offset, 2 * stride);
    merge_exchange(n, visit, offset + stride, 2 * stride);
    int top = stride;
    while (2 * top < n) top *= 2;
    for (int i = offset; i + stride < n; i += 2 * stride) visit(i, i + stride);
    for (int q = top; q > stride; q /= 2)
        for (int i = offset + stride; i + q - stride < n; i += 2 * stride) visit(i, i + q - stride);
}

// One step of a network: v[low] becomes the minimum of both if wanted, v[high] the maximum if wanted.
struct Exchange {
    short low, high;
    bool wants_min, wants_max;
};

constexpr int count_exchanges(int n) {
    int count = 0;
    merge_exchange(n, [&](int, int) { ++count; });
    return count;
}

// The network whose outputs first ... last - 1 are the order statistics of those ranks.
template <int n, int first, int last>
struct Network {
    static constexpr int capacity = count_exchanges(n);
    Exchange steps[capacity + 1] = {};
    int begin = 0;

    constexpr Network() {
        int filled = 0;
        merge_exchange(n, [&](int low, int high) {
            steps[filled++] = {static_cast<short>(low), static_cast<short>(high), true, true};
        });
        bool wanted[n] = {};
        for (int i = first; i < last; ++i) wanted[i] = true;
        begin = capacity;
        for (int s = capacity; s-- > 0;) {
            Exchange step = steps[s];
            step.wants_min = wanted[step.low];
            step.wants_max = wanted[step.high];
            if (!step.wants_min && !step.wants_max) continue;
            wanted[step.low] = wanted[step.high] = true;
            steps[--begin] = step;
        }
    }
};

template <int n, int first, int last>
constexpr Network<n, first, last> network;

// Runs the network on v[0 .. n-1], which the compiler keeps in registers as far as they go.
template <int n, int first, int last, class V, int... s>
inline void run_steps(V* v, std::integer_sequence<int, s...>) {
    [[maybe_unused]] const auto run = [v](auto step) {
        constexpr Exchange e = network<n, first, last>.steps[network<n, first, last>.begin + decltype(step)::value];
        const V low = v[e.low], high = v[e.high];
        if constexpr (e.wants_min) v[e.low] = min(low, high);
        if constexpr (e.wants_max) v[e.high] = max(low, high);
    };
    (run(std::integral_constant<int, s>{}), ...);
}
template <int n, int first, int last, class V>
inline void run_network(V* v) {
    constexpr auto& net = network<n, first, last>;
    run_steps<n, first, last>(v, std::make_integer_sequence<int, net.capacity - net.begin>{});
}

// Sorts v[0 .. n-1] in every lane, 1 <= n <= straight_line.
template <class T>
void sort_few(Vec<T>* v, int n);

// In every lane of v[0 .. n-1]: v[first .. last-1] become the order statistics of those ranks, in order; the others
// are left undefined.
template <class T>
void select(Vec<T>* v, int n, int first, int last);

template <class T>
inline void sort(Vec<T>* v, int n) {
    select<T>(v, n, 0, n);
}
// The mean of the two middle values where n is even. It cannot overflow.
template <class T>
inline Vec<T> median(Vec<T>* v, int n) {
    select<T>(v, n, (n - 1) / 2, n / 2 + 1);
    return n % 2 != 0 ? v[n / 2] : v[n / 2 - 1] * T(0.5) + v[n / 2] * T(0.5);
}

}  // namespace ra::RA_ISA

// Sorting and selection networks over vectors: every lane is sorted on its own, without a branch.
//
// The one network is the pairwise sorting network, for any n (I. Parberry, The pairwise sorting network, 1992): the two
// of each pair are exchanged, the even and the odd positions are sorted, then merged as in Batcher's merge exchange
// (Knuth, The Art of Computer Programming 3, 5.2.2 M); about n log2(n)^2 / 4 exchanges. A selection network is the same
// one without the exchanges, and halves of exchanges, that no wanted output depends on, for which pairs first are
// better than pairs last: the median of 9 costs 34 minima and maxima (30 by a way of its own, below), of 25 costs
// 182. Up to straight_line vectors a network is unrolled by the compiler.
//
// The interface, for any n, is select(v, n, first, last); sort(v, n) and median(v, n) are two common cases of it.
#pragma once

#include <utility>

#include "base/simd.hpp"

namespace ra::RA_ISA {

constexpr int straight_line = 32;  // the number of registers of AVX-512; each size also costs code

// Calls visit(low, high) for each exchange of the network on positions offset, offset + stride, ... below n.
template <class Visit>
constexpr void pairwise(int n, const Visit& visit, int offset = 0, int stride = 1) {
    if (offset + stride >= n) return;
    for (int i = offset; i + stride < n; i += 2 * stride) visit(i, i + stride);
    pairwise(n, visit, offset, 2 * stride);
    pairwise(n, visit, offset + stride, 2 * stride);
    int top = stride;
    while (2 * top < n) top *= 2;
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
    pairwise(n, [&](int, int) { ++count; });
    return count;
}

// The network whose outputs first ... last - 1 are the order statistics of those ranks. It may be that of n + 1, whose
// first input is thought lower than all others: that pairs them differently.
template <int n, int first, int last>
struct Network {
    static constexpr int capacity = count_exchanges(n + 1);
    Exchange steps[capacity + 1] = {};
    int begin = 0, operations = 0;

    constexpr explicit Network(int absent) {
        int filled = 0;
        pairwise(n + absent, [&](int low, int high) {
            if (low < absent) return;
            steps[filled++] = {static_cast<short>(low - absent), static_cast<short>(high - absent), true, true};
        });
        bool wanted[n] = {};
        for (int i = first; i < last; ++i) wanted[i] = true;
        begin = capacity;
        for (int s = filled; s-- > 0;) {
            Exchange step = steps[s];
            step.wants_min = wanted[step.low];
            step.wants_max = wanted[step.high];
            if (!step.wants_min && !step.wants_max) continue;
            wanted[step.low] = wanted[step.high] = true;
            operations += step.wants_min + step.wants_max;
            steps[--begin] = step;
        }
    }
    static constexpr Network best() {
        const Network whole(0), shifted(1);
        return shifted.operations < whole.operations ? shifted : whole;
    }
};

template <int n, int first, int last>
constexpr Network<n, first, last> network = Network<n, first, last>::best();

// Runs the network on v[0 .. n-1], which the compiler keeps in registers as far as they go.
template <int n, int first, int last, Signs signs, class V, int... s>
inline void run_steps(V* v, std::integer_sequence<int, s...>) {
    [[maybe_unused]] const auto run = [v](auto step) {
        constexpr Exchange e = network<n, first, last>.steps[network<n, first, last>.begin + decltype(step)::value];
        const V low = v[e.low], high = v[e.high];
        if constexpr (e.wants_min) v[e.low] = min(low, high);
        if constexpr (e.wants_max) v[e.high] = larger<signs>(low, high);
    };
    (run(std::integral_constant<int, s>{}), ...);
}
template <int n, int first, int last, Signs signs = Signs::any, class V>
inline void run_network(V* v) {
    constexpr auto& net = network<n, first, last>;
    run_steps<n, first, last, signs>(v, std::make_integer_sequence<int, net.capacity - net.begin>{});
}

// Sorts v[0 .. n-1] in every lane, 1 <= n <= straight_line.
template <class T, Signs signs = Signs::any>
void sort_few(Vec<T>* v, int n);

// In every lane of v[0 .. n-1]: v[first .. last-1] become the order statistics of those ranks, in order; the others
// are left undefined.
template <class T, Signs signs = Signs::any>
void select(Vec<T>* v, int n, int first, int last);

template <class T>
inline void sort(Vec<T>* v, int n) {
    select<T>(v, n, 0, n);
}
template <class T, int n>
inline void sort(Vec<T>* v, Few<n>) {
    run_network<n, 0, n>(v);
}

// The values of ranks (n - 1) / 2 and n / 2.
template <class T>
struct Middles {
    Vec<T> lower, upper;
};
// From two sorted halves a and b of v, a the larger: rank h of both is the least of max(a_i, b_(h-1-i)), the rank
// before it the largest of the minima.
template <class T, Signs signs>
inline Middles<T> middle_of_halves(const Vec<T>* v, int n) {
    const int half = n / 2;
    Vec<T> lower = min(v[0], v[n - 1]), upper = larger<signs>(v[0], v[n - 1]);
    for (int i = 1; i < half; ++i) {
        const Vec<T> a = v[i], b = v[n - 1 - i];
        lower = larger<signs>(min(a, b), lower);
        upper = min(larger<signs>(a, b), upper);
    }
    if (n % 2 != 0) lower = upper = min(v[half], upper);
    return {lower, upper};
}

// The mean of the two middle values where n is even. It cannot overflow.
template <class T>
inline Vec<T> middle(const Vec<T>* sorted, int n) {
    return n % 2 != 0 ? sorted[n / 2] : sorted[n / 2 - 1] * T(0.5) + sorted[n / 2] * T(0.5);
}
template <class T, Signs signs = Signs::any>
inline Vec<T> median(Vec<T>* v, int n) {
    select<T, signs>(v, n, (n - 1) / 2, n / 2 + 1);
    return middle<T>(v, n);
}
// The median of nine takes fewer exchanges: of three sorted triples it is the median of the largest minimum, the median
// middle and the least maximum; 30 minima and maxima.
template <Signs signs, class V>
inline V median_of_three(V a, V b, V c) {
    return larger<signs>(min(a, b), min(larger<signs>(a, b), c));
}
template <Signs signs, class V>
inline void order_middle_of_nine(V* v) {
    unroll<3>([&](auto k) { run_network<3, 0, 3, signs>(v + 3 * k); });
    v[4] = median_of_three<signs>(larger<signs>(larger<signs>(v[0], v[3]), v[6]),
                                  median_of_three<signs>(v[1], v[4], v[7]), min(min(v[2], v[5]), v[8]));
}
// Puts the values of ranks (n - 1) / 2 and n / 2 in their places.
template <int n, Signs signs = Signs::any, class V>
inline void order_middle(V* v) {
    if constexpr (n == 9)
        order_middle_of_nine<signs>(v);
    else
        run_network<n, (n - 1) / 2, n / 2 + 1, signs>(v);
}
template <class T, Signs signs = Signs::any, int n>
inline Vec<T> median(Vec<T>* v, Few<n>) {
    order_middle<n, signs>(v);
    return middle<T>(v, n);
}

}  // namespace ra::RA_ISA

// What bodies are written in, so that they have two readers: NVRTC on a machine with a GPU, and any C++17 compiler, for
// whose tests a grid is one thread that takes all columns, and a block's threads follow each other. The same bits: no
// reader may contract a product and a sum (--fmad=false, -ffp-contract=off). No header is included.
//
// Whoever compiles says: RA_KIND, what rows hold; and either RA_FEW, the number of clients, with the networks
// RA_SORTING and RA_MIDDLE of it, or RA_MANY, the most clients that there may be; and the network of one of the ways in
// which slopes.cuh finds medians.
#pragma once

using i64 = long long;
using u64 = unsigned long long;
using i32 = int;
using u32 = unsigned int;
using u16 = unsigned short;
using u8 = unsigned char;
using i8 = signed char;

#if defined(__CUDACC__)
#define RA_KERNEL extern "C" __global__ void
#define RA_DEVICE __device__ __forceinline__
#define RA_SHARED __shared__
#define RA_BARRIER __syncthreads()
#define RA_UNROLL _Pragma("unroll")
#define RA_UNROLL_FEW _Pragma("unroll (few ? capacity : 1)")
#define RA_UNROLL_FEWEST _Pragma("unroll (capacity <= 16 ? 16 : 1)")
#define RA_UNROLL_8 _Pragma("unroll 8")
#define RA_ROLLED _Pragma("unroll 1")
#define RA_EACH(k, count)                                                              \
    for (i64 k = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x; k < (count); \
         k += static_cast<i64>(gridDim.x) * blockDim.x)
#define RA_EACH_BLOCK(b, count) for (i64 b = blockIdx.x; b < (count); b += gridDim.x)
#define RA_TOGETHER(k, count) for (int k = threadIdx.x; k < (count); k += blockDim.x)
#define RA_EACH_THREAD(t, threads) for (int t = threadIdx.x, RA_once = 1; RA_once; RA_once = 0)
#else
#define RA_KERNEL extern "C" void
#define RA_DEVICE inline
#define RA_SHARED static thread_local
#define RA_BARRIER
#define RA_UNROLL
#define RA_UNROLL_FEW
#define RA_UNROLL_FEWEST
#define RA_UNROLL_8
#define RA_ROLLED
#define RA_EACH(k, count) for (i64 k = 0; k < (count); ++k)
#define RA_EACH_BLOCK(b, count) for (i64 b = 0; b < (count); ++b)
#define RA_TOGETHER(k, count) for (int k = 0; k < (count); ++k)
#define RA_EACH_THREAD(t, threads) for (int t = 0; t < (threads); ++t)
#endif

// What every kernel is told of the rows; it sets *odd when it meets a NaN or an infinity, and leaves its output
// undefined then.
#define RA_ROWS const Element *const *rows, int clients, i64 d, u32 *odd

// What a thread of a block keeps from one barrier to the next.
template <class T, int count, int threads>
struct Private {
#if defined(__CUDACC__)
    T own[count];
    RA_DEVICE T* of(int) { return own; }
#else
    T own[threads][count];
    T* of(int thread) { return own[thread]; }
#endif
};

enum Kind { float32, float64, float16, bfloat16 };

template <int kind>
struct Types {
    using Element = u16;
    using Compute = float;
    using Key = u32;
};
template <>
struct Types<float32> {
    using Element = float;
    using Compute = float;
    using Key = u32;
};
template <>
struct Types<float64> {
    using Element = double;
    using Compute = double;
    using Key = u64;
};
using Element = Types<RA_KIND>::Element;
using Compute = Types<RA_KIND>::Compute;
using Key = Types<RA_KIND>::Key;

constexpr bool single = sizeof(Compute) == 4;
constexpr double largest = single ? 0x1.fffffep127 : 0x1.fffffffffffffp1023;

#if defined(RA_FEW)
[[maybe_unused]] constexpr int capacity = RA_FEW;
[[maybe_unused]] constexpr bool few = true;
RA_DEVICE constexpr int number(int) { return RA_FEW; }
#else
[[maybe_unused]] constexpr int capacity = RA_MANY;
[[maybe_unused]] constexpr bool few = false;
RA_DEVICE int number(int clients) { return clients; }
#endif

// --- numbers --------------------------------------------------------------------------------------------------------

#if defined(__CUDACC__)
RA_DEVICE u32 bits_of(float x) { return __float_as_uint(x); }
RA_DEVICE u64 bits_of(double x) { return static_cast<u64>(__double_as_longlong(x)); }
RA_DEVICE float number_of(u32 b) { return __uint_as_float(b); }
RA_DEVICE double number_of(u64 b) { return __longlong_as_double(static_cast<i64>(b)); }
RA_DEVICE float root(float x) { return sqrtf(x); }
RA_DEVICE double root(double x) { return sqrt(x); }
RA_DEVICE double nearest_whole(double x) { return rint(x); }
RA_DEVICE double fused(double a, double b, double c) { return fma(a, b, c); }
RA_DEVICE int ones(u32 b) { return __popc(b); }
RA_DEVICE float lower(float a, float b) { return fminf(a, b); }
RA_DEVICE float upper(float a, float b) { return fmaxf(a, b); }
RA_DEVICE void add_to(i64* sum, i64 value) { atomicAdd(reinterpret_cast<u64*>(sum), static_cast<u64>(value)); }
// The same once for the 32 threads of a warp, none missing.
RA_DEVICE void add_of_all(i64* sum, i64 value) {
    for (int apart = 16; apart > 0; apart /= 2) value += __shfl_down_sync(0xffffffffu, value, apart);
    if (threadIdx.x % 32 == 0) add_to(sum, value);
}
RA_DEVICE int own_thread() { return threadIdx.x; }
// To a number in the block's memory, how many of a warp's threads, none missing, say so.
RA_DEVICE void count_in_block(u32* count, bool hit) {
    const u32 word = __ballot_sync(0xffffffffu, hit);
    if (threadIdx.x % 32 == 0 && word != 0) atomicAdd(count, __popc(word));
}
// Bit j % 8 of byte j / 8; the 32 threads of a warp, none missing, have neighbouring j. Each byte is written by one.
RA_DEVICE void put_bit(u8* bytes, i64 j, i64 d, bool bit) {
    const u32 word = __ballot_sync(0xffffffffu, bit && j < d);
    const int lane = threadIdx.x % 32;
    if (lane % 8 == 0 && j < d) bytes[j / 8] = static_cast<u8>(word >> lane);
}
[[maybe_unused]] constexpr i64 together = 32;
#else
RA_DEVICE u32 bits_of(float x) {
    u32 b;
    __builtin_memcpy(&b, &x, sizeof b);
    return b;
}
RA_DEVICE u64 bits_of(double x) {
    u64 b;
    __builtin_memcpy(&b, &x, sizeof b);
    return b;
}
RA_DEVICE float number_of(u32 b) {
    float x;
    __builtin_memcpy(&x, &b, sizeof x);
    return x;
}
RA_DEVICE double number_of(u64 b) {
    double x;
    __builtin_memcpy(&x, &b, sizeof x);
    return x;
}
RA_DEVICE float root(float x) { return __builtin_sqrtf(x); }
RA_DEVICE double root(double x) { return __builtin_sqrt(x); }
RA_DEVICE double nearest_whole(double x) { return __builtin_rint(x); }
RA_DEVICE double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }
RA_DEVICE int ones(u32 b) { return __builtin_popcount(b); }
RA_DEVICE float lower(float a, float b) { return b < a ? b : a; }
RA_DEVICE float upper(float a, float b) { return b < a ? a : b; }
RA_DEVICE void add_to(i64* sum, i64 value) { *sum += value; }
RA_DEVICE void add_of_all(i64* sum, i64 value) { *sum += value; }
RA_DEVICE int own_thread() { return 0; }
RA_DEVICE void count_in_block(u32* count, bool hit) { *count += hit; }
RA_DEVICE void put_bit(u8* bytes, i64 j, i64 d, bool bit) {
    if (j >= d) return;
    const u8 before = j % 8 == 0 ? 0 : bytes[j / 8];
    bytes[j / 8] = static_cast<u8>(before | bit << j % 8);
}
[[maybe_unused]] constexpr i64 together = 1;
#endif

RA_DEVICE double lower(double a, double b) { return b < a ? b : a; }
RA_DEVICE double upper(double a, double b) { return b < a ? a : b; }
template <class T>
RA_DEVICE T absolute(T x) {
    return x < 0 ? -x : x;
}
template <class T>
RA_DEVICE T clamped(T x, T most) {
    return upper(-most, lower(most, x));
}
// (a + b) / 2 without overflow.
template <class T>
RA_DEVICE T halfway(T a, T b) {
    return (a < 0) == (b < 0) ? a + (b - a) * T(0.5) : (a + b) * T(0.5);
}
// The 31 bits below the sign, of a double the upper ones, which are ordered like magnitudes.
RA_DEVICE u32 key_of_magnitude(Compute x) { return static_cast<u32>(bits_of(x) >> (single ? 0 : 32)) & 0x7fffffffu; }
// A sum as a result: what rounding carried past the largest number is set back to it.
RA_DEVICE Compute result_of(double sum) { return static_cast<Compute>(clamped(sum, largest)); }

// --- rows -----------------------------------------------------------------------------------------------------------

RA_DEVICE Compute widened(Element x) {
    if constexpr (RA_KIND == bfloat16) {
        return number_of(static_cast<u32>(x) << 16);
    } else if constexpr (RA_KIND == float16) {
        const u32 bits = static_cast<u32>(x), sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
        const u32 normal = (magnitude << 13) + ((magnitude >= 0x7c00u ? 224u : 112u) << 23);
        const u32 subnormal = bits_of(number_of((magnitude << 13) + (113u << 23)) - number_of(113u << 23));
        return number_of((magnitude < 0x0400u ? subnormal : normal) | sign);
    } else {
        return x;
    }
}

// x - x is 0 for a finite x, else NaN.
RA_DEVICE bool is_finite(Compute x) { return x - x == 0; }

RA_DEVICE bool all_finite(const Compute* v, int n) {
    Compute nothing = 0;
    RA_UNROLL
    for (int i = 0; i < n; ++i) nothing += v[i] - v[i];
    return nothing == 0;
}

// Column j of the rows. Whether all are finite.
RA_DEVICE bool load(const Element* const* rows, int n, i64 j, Compute* v) {
    Compute nothing = 0;
    RA_UNROLL
    for (int i = 0; i < n; ++i) {
        v[i] = widened(rows[i][j]);
        nothing += v[i] - v[i];
    }
    return nothing == 0;
}

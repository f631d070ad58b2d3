// The kernels' types and the one list of them. Each is compiled once per instruction set, into namespace ra::RA_ISA;
// dispatch.cpp chooses a set at run time. A kernel that returns bool returns false when it met a NaN or an infinity,
// and leaves its output undefined then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace ra {

enum class DType { f32, f64, f16, bf16 };

// Inlined always: a copy compiled for one instruction set must not serve another.
__attribute__((always_inline)) inline bool is_half(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }

// n rows of d elements each; the caller has checked that they are alive, equally long and of one dtype.
struct RowsView {
    const void* const* row;
    std::size_t n, d;
    DType dtype;
};

// d values of the rows' type or, of half precision, of the compute type.
struct Result {
    void* values;
    DType dtype;
};

enum class RescaleMode { paper, clip };

struct Rescale {
    double value_range = std::numeric_limits<double>::infinity();  // infinity: never rescale
    RescaleMode mode = RescaleMode::paper;
};

enum class Intercept { separate, hierarchical, median_point };

struct Confidence {
    Rescale rescale;
    Intercept intercept;
    double interval_width, scale_floor;
};

struct Residual {
    Intercept intercept;
    double interval_width, scale_floor;
    bool leave_smallest;  // of the absolute residuals, in the median that is their scale
};

// A bit per value as detect leaves it: bit k % 8 of byte k / 8 of row i, rows `row_bytes` apart.
struct Bits {
    const std::uint8_t* bytes;
    std::size_t row_bytes;
};

// What rows that are marked as shrunk are multiplied by, lest their products overflow.
constexpr double shrink = 0x1p-576;

// Answers of `count` workers to `items` items, item by item, sorted by value and then by worker: see csrc/truth/.
struct Answers {
    const std::int64_t* starts;
    const std::int32_t* workers;
    const double* values;
    std::size_t items, size, count;
};

// The same answers as vectors read them, a slice after another: the answers to eight items side by side, or, the first
// `wide` slices, those to one item. Gaps have the worker `count`.
struct Slices {
    static constexpr std::size_t width = 8;
    static constexpr std::int64_t tallest = 128;  // an item with more answers is a slice of its own
    const std::int32_t* items;   // of tall slices, eight each, -1 where there is none; of wide ones, one each
    const std::int64_t* starts;  // in eights of answers
    const std::int32_t* workers;
    const double* values;
    std::size_t count, wide;
};

struct ItemScale {
    const double *centre, *inverse, *factor;
    double coarse, fine;  // units of a worker's sum of losses; fine is 0 where coarse ones are enough
};

enum class Location { mean, median, vote, share };
enum class Loss { squared, absolute };

// Outputs typed void* have the compute type: double for f64 rows, float for all others.
#define RA_KERNELS(X)                                                                                              \
    X(finite, void, (const RowsView&, bool* out, int threads))                                                     \
    X(narrow, void, (const float* values, std::size_t d, Result out, int threads))                                 \
    X(weighted_mean, bool, (const RowsView&, const double* weights, Result out, int threads))                      \
    X(rectified_mean, bool,                                                                                        \
      (const RowsView&, Bits rejected, const void* median, const double* weights, const Rescale&, Result out,      \
       int threads))                                                                                               \
    X(rectify, bool, (const RowsView&, Bits rejected, const void* median, const Rescale&, void* out, int threads)) \
    X(deviations, bool,                                                                                            \
      (const RowsView&, Bits rejected, const void* median, const Rescale&, std::size_t tile, double limit,         \
       const std::uint8_t* shrunk, double* out, int threads))                                                      \
    X(median, bool, (const RowsView&, Result out, int threads))                                                    \
    X(trimmed_mean, bool, (const RowsView&, std::size_t k, Result out, int threads))                               \
    X(mean_around_median, bool, (const RowsView&, std::size_t k, Result out, int threads))                         \
    X(weighted_median, bool, (const RowsView&, const double* weights, double half, Result out, int threads))       \
    X(gram, bool,                                                                                                  \
      (const RowsView&, std::size_t tile, double limit, const std::uint8_t* shrunk, double* out, int threads))     \
    X(measure, bool,                                                                                               \
      (const RowsView&, std::size_t tile, std::size_t reference, double limit, const std::uint8_t* shrunk,         \
       double* out, int threads))                                                                                  \
    X(manhattan, bool, (const RowsView&, std::size_t tile, double limit, double* out, int threads))                \
    X(extremes, bool, (const RowsView&, Result greatest, Result least, int threads))                               \
    X(majority, bool, (const RowsView&, std::int32_t least, std::int8_t* signs, int threads))                      \
    X(sign_counts, bool, (const RowsView&, std::int64_t* counts, int threads))                                     \
    X(outermost, bool, (const RowsView&, std::int64_t* counts, int threads))                                       \
    X(magnitude_counts, bool,                                                                                      \
      (const RowsView&, const std::int8_t* signs, int shift, int bits, const std::int64_t* prefixes,               \
       std::int64_t* counts, int threads))                                                                         \
    X(differences, bool, (const RowsView&, void* out, int threads))                                                \
    X(agreements, bool, (const RowsView&, const std::int64_t* keys, std::int64_t* counts, int threads))            \
    X(mix, bool, (const RowsView&, const double* matrix, std::size_t m, void* out, int threads))                   \
    X(top_eigenpair, double, (const double* matrix, std::size_t n, double* vector))                                \
    X(detect, bool,                                                                                                \
      (const RowsView&, const Confidence&, double threshold, std::uint8_t* rejected, void* median,                 \
       std::int64_t* counts, int threads))                                                                         \
    X(confidence, bool, (const RowsView&, const Confidence&, void* out, int threads))                              \
    X(force_path, bool, (int path)) /* for tests: how lines are fitted, see line.hpp */                            \
    X(repeated_median, bool, (const RowsView&, Intercept, void* slope, void* intercept, int threads))              \
    X(residual_weights, bool, (const RowsView&, const Residual&, std::int64_t* total, int threads))                \
    X(residual_mean, bool,                                                                                         \
      (const RowsView&, const double* weights, const Residual&, double threshold, Result out, int threads))        \
    X(group_answers, void,                                                                                         \
      (const std::int32_t* keys, std::size_t size, std::size_t count, std::int64_t* starts, std::int32_t* order))  \
    X(sort_answers, void,                                                                                          \
      (const std::int64_t* starts, std::size_t items, std::int32_t* workers, double* values, int threads))         \
    X(spread_answers, void,                                                                                        \
      (const std::int64_t* starts, std::size_t items, const double* values, double smallest, double* mean,         \
       double* deviation, int threads))                                                                            \
    X(arranged, void, (const Answers&, const Slices&, std::int32_t* workers, double* values, int threads))         \
    X(truth_step, double,                                                                                          \
      (const Answers&, const Slices*, const ItemScale&, const double* weights, double prior, Location, Loss,       \
       const double* before, double* truth, double* losses, int threads))                                          \
    X(group_medians, void,                                                                                         \
      (const Answers&, const ItemScale&, const double* weights, const std::int32_t* groups, std::size_t count,     \
       double* out, int threads))

#ifdef RA_ISA
namespace RA_ISA {
#define RA_DECLARE(name, result, arguments) result name arguments;
RA_KERNELS(RA_DECLARE)
#undef RA_DECLARE
}  // namespace RA_ISA
#endif

}  // namespace ra

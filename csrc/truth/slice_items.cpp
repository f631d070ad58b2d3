#include "truth/slice_items.hpp"

#include <algorithm>
#include <numeric>

#include "kernels.hpp"

namespace ra {

Sliced slice_items(const std::int64_t* starts, std::size_t items, std::int32_t* order, std::int64_t* slice_starts) {
    constexpr std::size_t window = 4096, width = Slices::width;
    const auto count = [&](std::int32_t n) { return starts[n + 1] - starts[n]; };
    std::iota(order, order + items, 0);
    const auto* first =
        std::stable_partition(order, order + items, [&](std::int32_t n) { return count(n) > Slices::tallest; });
    const auto wide = static_cast<std::size_t>(first - order);
    for (std::size_t n = wide; n < items; n += window)
        std::stable_sort(order + n, order + std::min(n + window, items),
                         [&](std::int32_t a, std::int32_t b) { return count(a) > count(b); });
    std::fill_n(order + items, width, -1);
    std::size_t s = 0;
    std::int64_t start = 0;
    for (std::size_t n = 0; n < items; n += n < wide ? 1 : width) {
        slice_starts[s++] = start;
        const std::int64_t most = count(order[n]);
        start += n < wide ? (most + static_cast<std::int64_t>(width) - 1) / static_cast<std::int64_t>(width) : most;
    }
    slice_starts[s] = start;
    return {s, wide};
}

}  // namespace ra

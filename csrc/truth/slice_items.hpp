// Which items stand side by side: see Slices. Small, so compiled once.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ra {

struct Sliced {
    std::size_t count, wide;
};

// Items with many answers first, each a slice of its own, then the others, those of a window by their numbers of
// answers: near items are near each other in memory, and few lanes are left empty. `order` has room for eight more than
// there are items, `slice_starts` for one more than there are slices, which are no more than items.
Sliced slice_items(const std::int64_t* starts, std::size_t items, std::int32_t* order, std::int64_t* slice_starts);

}  // namespace ra

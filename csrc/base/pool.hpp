// Memory for large results. The system clears fresh memory first, which takes a third of the time of a mean of ten
// clients: what earlier results lay in is kept for later ones, up to a limit. Safe from any thread.
#pragma once

#include <cstddef>

namespace ra {

constexpr std::size_t pooled_from = 128 << 10;  // bytes; smaller pieces are not worth keeping

// Uninitialised, at the beginning of a cache line, for give_back.
void* take_memory(std::size_t size);
void give_back(void* memory);

}  // namespace ra

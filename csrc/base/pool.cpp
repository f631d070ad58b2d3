#include "base/pool.hpp"

#include <atomic>
#include <cstdint>
#include <iterator>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ra {

namespace {

constexpr std::size_t line = 64, most_kept = 96 << 20;  // bytes

// What stands before a piece of memory.
struct alignas(line) Piece {
    std::size_t size;  // of what follows
};

// The latest first. Two: in half precision results of both precisions take turns.
std::atomic<Piece*> kept[2] = {{nullptr}, {nullptr}};

Piece* fresh(std::size_t size) {
    void* memory = ::operator new(sizeof(Piece) + size, std::align_val_t{line});
#if defined(MADV_HUGEPAGE)
    constexpr std::size_t page = 4096, worth_large_pages = 4 << 20;
    if (size >= worth_large_pages) {
        const auto first = reinterpret_cast<std::uintptr_t>(memory), begin = (first + page - 1) / page * page;
        madvise(reinterpret_cast<void*>(begin), first + size - begin, MADV_HUGEPAGE);  // a wish: it may fail
    }
#endif
    return new (memory) Piece{size};
}

void release(Piece* piece) {
    if (piece != nullptr) ::operator delete(piece, std::align_val_t{line});
}

}  // namespace

void* take_memory(std::size_t size) {
    for (auto& place : kept) {
        Piece* piece = place.exchange(nullptr);
        if (piece != nullptr && size <= piece->size && piece->size <= 2 * size) return piece + 1;
        release(place.exchange(piece));
    }
    return fresh(size) + 1;
}

void give_back(void* memory) {
    Piece* const found[] = {static_cast<Piece*>(memory) - 1, kept[0].exchange(nullptr), kept[1].exchange(nullptr)};
    auto* place = std::begin(kept);
    std::size_t left = most_kept;
    for (Piece* each : found) {
        if (each != nullptr && place != std::end(kept) && each->size <= left) {
            left -= each->size;
            each = (place++)->exchange(each);  // null, unless another thread was faster
        }
        release(each);
    }
}

}  // namespace ra

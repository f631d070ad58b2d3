#include "base/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <new>

#if defined(_OPENMP)
#include <omp.h>
#include <pthread.h>
#endif
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace ra {

namespace {

bool run_serially(std::size_t count, Task task, const void* context) {
    for (std::size_t i = 0; i < count; ++i)
        if (!task(context, i, 0)) return false;
    return true;
}

#if defined(_OPENMP)
std::atomic<bool> forked{false};
[[maybe_unused]] const int fork_handler =
    pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); });
#endif

constexpr std::size_t alignment = 64;

}  // namespace

bool has_openmp() {
#if defined(_OPENMP)
    return true;
#else
    return false;
#endif
}

bool run_tasks(std::size_t count, int threads, Task task, const void* context) {
#if defined(_OPENMP)
    if (threads > 1 && count > 1 && !forked.load(std::memory_order_relaxed)) {
        std::atomic<bool> good{true};
        const int workers = static_cast<int>(std::min(count, static_cast<std::size_t>(threads)));
#pragma omp parallel for schedule(dynamic) num_threads(workers)
        for (std::size_t i = 0; i < count; ++i)
            if (good.load(std::memory_order_relaxed) && !task(context, i, omp_get_thread_num()))
                good.store(false, std::memory_order_relaxed);
        return good.load(std::memory_order_relaxed);
    }
#else
    (void)threads;
#endif
    return run_serially(count, task, context);
}

Scratch::Scratch(int workers, std::size_t bytes_each)
    : stride_((bytes_each + alignment - 1) / alignment * alignment),
      base_(static_cast<unsigned char*>(
          ::operator new(stride_* static_cast<std::size_t>(workers), std::align_val_t{alignment}))) {}

Scratch::~Scratch() { ::operator delete(base_, std::align_val_t{alignment}); }

#if defined(__SSE2__)
FlushSubnormals::FlushSubnormals() : saved_(_mm_getcsr()) {
    _mm_setcsr(static_cast<unsigned>(saved_) | 0x8040U);  // FTZ | DAZ
}
FlushSubnormals::~FlushSubnormals() { _mm_setcsr(static_cast<unsigned>(saved_)); }
#elif defined(__aarch64__)
FlushSubnormals::FlushSubnormals() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" ::"r"(saved_ | (1ULL << 24)));  // FZ
}
FlushSubnormals::~FlushSubnormals() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }
#else
FlushSubnormals::FlushSubnormals() : saved_(0) {}
FlushSubnormals::~FlushSubnormals() = default;
#endif

}  // namespace ra

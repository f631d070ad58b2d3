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
    const PlainArithmetic mode;
    Pulse pulse;
    for (std::size_t i = 0; i < count; ++i)
        if (!task(context, i, 0) || !pulse.go_on()) return false;
    return true;
}

#if defined(_OPENMP)
std::atomic<bool> forked{false};
[[maybe_unused]] const int fork_handler =
    pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); });
#endif

std::atomic<double> a_share{1e5};  // nanoseconds of work that are worth a thread
constexpr std::size_t alignment = 64;
constexpr std::chrono::milliseconds pause{100};
std::atomic<Question> question{nullptr};

}  // namespace

bool has_openmp() {
#if defined(_OPENMP)
    return true;
#else
    return false;
#endif
}

int worth_waking(int most, double nanoseconds) {
    const double share = a_share.load(std::memory_order_relaxed);
    return static_cast<int>(nanoseconds < share * most ? std::max(nanoseconds / share, 1.0) : std::max(most, 1));
}

void wake_for(double nanoseconds) { a_share.store(nanoseconds); }

bool run_tasks(std::size_t count, int threads, Task task, const void* context) {
#if defined(_OPENMP)
    if (threads > 1 && count > 1 && !forked.load(std::memory_order_relaxed)) {
        std::atomic<bool> good{true};
        const int workers = static_cast<int>(std::min(count, static_cast<std::size_t>(threads)));
        Pulse pulse;  // of worker 0, which is the caller
#pragma omp parallel num_threads(workers)
        {
            const PlainArithmetic mode;
            const int worker = omp_get_thread_num();
#pragma omp for schedule(dynamic)
            for (std::size_t i = 0; i < count; ++i)
                if (good.load(std::memory_order_relaxed) &&
                    (!task(context, i, worker) || (worker == 0 && !pulse.go_on())))
                    good.store(false, std::memory_order_relaxed);
        }
        return good.load(std::memory_order_relaxed);
    }
#else
    (void)threads;
#endif
    return run_serially(count, task, context);
}

namespace {

unsigned char* allocate(std::size_t bytes) {
    return static_cast<unsigned char*>(::operator new(bytes, std::align_val_t{alignment}));
}
void release(unsigned char* memory) { ::operator delete(memory, std::align_val_t{alignment}); }

// A thread's stack of small scratch: a kernel takes several, and asking the system for each takes it a microsecond.
class Stack {
  public:
    ~Stack() { release(memory_); }

    // Null where it does not fit.
    unsigned char* push(std::size_t bytes) {
        if (bytes > size - used_) return nullptr;
        if (memory_ == nullptr) memory_ = allocate(size);
        ++pieces_;
        used_ += bytes;
        return memory_ + used_ - bytes;
    }
    // What is not on top stays until all are gone.
    void pop(const unsigned char* piece, std::size_t bytes) {
        if (piece + bytes == memory_ + used_) used_ -= bytes;
        if (--pieces_ == 0) used_ = 0;
    }

  private:
    static constexpr std::size_t size = std::size_t{1} << 18;
    unsigned char* memory_ = nullptr;
    std::size_t used_ = 0, pieces_ = 0;
};
thread_local Stack stack;

}  // namespace

// Scratch is a local variable or part of one, on the thread that made it: what was taken last mostly goes first.
Scratch::Scratch(int workers, std::size_t bytes_each)
    : stride_((bytes_each + alignment - 1) / alignment * alignment),
      bytes_(stride_ * static_cast<std::size_t>(workers)),
      base_(stack.push(bytes_)) {
    stacked_ = base_ != nullptr;
    if (!stacked_) base_ = allocate(bytes_);
}

Scratch::~Scratch() {
    if (stacked_)
        stack.pop(base_, bytes_);
    else
        release(base_);
}

void ask(Question whether_to_go_on) { question.store(whether_to_go_on); }

Pulse::Pulse() : next_(std::chrono::steady_clock::now() + pause) {}

bool Pulse::go_on() {
    if (std::chrono::steady_clock::now() < next_) return true;
    const Question asked = question.load();
    const bool answer = asked == nullptr || asked();
    next_ = std::chrono::steady_clock::now() + pause;
    return answer;
}

namespace {

#if defined(__SSE2__)
constexpr unsigned long long plain = 0x1f80, flushing = 0x8040;  // no exception; FTZ | DAZ
unsigned long long mode_of_arithmetic() { return _mm_getcsr(); }
void set_mode_of_arithmetic(unsigned long long mode) { _mm_setcsr(static_cast<unsigned>(mode)); }
#elif defined(__aarch64__)
constexpr unsigned long long plain = 0, flushing = 1ULL << 24;  // FZ
unsigned long long mode_of_arithmetic() {
    unsigned long long mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
void set_mode_of_arithmetic(unsigned long long mode) { asm volatile("msr fpcr, %0" ::"r"(mode)); }
#else
constexpr unsigned long long plain = 0, flushing = 0;
unsigned long long mode_of_arithmetic() { return 0; }
void set_mode_of_arithmetic(unsigned long long) {}
#endif

}  // namespace

PlainArithmetic::PlainArithmetic() : saved_(mode_of_arithmetic()) { set_mode_of_arithmetic(plain); }
PlainArithmetic::~PlainArithmetic() { set_mode_of_arithmetic(saved_); }

FlushSubnormals::FlushSubnormals() : saved_(mode_of_arithmetic()) { set_mode_of_arithmetic(saved_ | flushing); }
FlushSubnormals::~FlushSubnormals() { set_mode_of_arithmetic(saved_); }

}  // namespace ra

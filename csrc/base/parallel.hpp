// Threads, and the memory that they work in. Compiled once, for the baseline processor: nothing here may be inlined
// into a kernel from a template that another instruction set instantiates too.
#pragma once

#include <chrono>
#include <cstddef>

namespace ra {

bool has_openmp();

// How many of `most` threads are worth waking for what takes one of them about so many nanoseconds. A thread that
// sleeps is awake after some 30 us, on a busy machine after milliseconds, and the others wait for it at the end.
int worth_waking(int most, double nanoseconds);
void wake_for(double nanoseconds);  // of work that a thread is woken for; for tests

using Task = bool (*)(const void* context, std::size_t task, int worker);

// Runs task 0 .. count-1 on up to min(threads, count) threads (on one in a forked child, where OpenMP would hang), each
// with the number of its worker, in plain arithmetic. False as soon as one returned false or the caller does not want
// to go on; the tasks that have not begun are left out then.
bool run_tasks(std::size_t count, int threads, Task task, const void* context);

// Uninitialised bytes for each worker, 64-byte aligned. Allocated before the threads start: an exception inside
// a parallel region would end the process.
class Scratch {
  public:
    Scratch(int workers, std::size_t bytes_each);
    ~Scratch();
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    void* of(int worker) const { return base_ + static_cast<std::size_t>(worker) * stride_; }

  private:
    std::size_t stride_, bytes_;
    unsigned char* base_;
    bool stacked_;
};

// What a kernel asks, on its caller's thread, ten times a second: whether it shall go on.
using Question = bool (*)();
void ask(Question whether_to_go_on);

// Asks when a tenth of a second has passed since it was last asked.
class Pulse {
  public:
    Pulse();
    bool go_on();

  private:
    std::chrono::steady_clock::time_point next_;
};

// While it lives, this thread rounds to nearest and keeps subnormal numbers, whatever its caller has set.
class PlainArithmetic {
  public:
    PlainArithmetic();
    ~PlainArithmetic();
    PlainArithmetic(const PlainArithmetic&) = delete;
    PlainArithmetic& operator=(const PlainArithmetic&) = delete;

  private:
    unsigned long long saved_;
};

// While it lives, this thread reads and writes subnormal numbers as zero: they are 20 times slower.
class FlushSubnormals {
  public:
    FlushSubnormals();
    ~FlushSubnormals();
    FlushSubnormals(const FlushSubnormals&) = delete;
    FlushSubnormals& operator=(const FlushSubnormals&) = delete;

  private:
    unsigned long long saved_;
};

#ifdef RA_ISA
namespace RA_ISA {

// parallel(count, threads, [&](std::size_t task, int worker) -> bool { ... })
template <class Body>
bool parallel(std::size_t count, int threads, const Body& body) {
    return run_tasks(
        count, threads,
        [](const void* context, std::size_t task, int worker) {
            return (*static_cast<const Body*>(context))(task, worker);
        },
        &body);
}

}  // namespace RA_ISA
#endif

}  // namespace ra

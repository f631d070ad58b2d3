#include "dispatch.hpp"

#include <atomic>

#if defined(__x86_64__)
#define RA_ISAS(X) X(v4) X(v3) X(v2)  // best first
#else
#define RA_ISAS(X) X(generic)
#endif

namespace ra {

#define RA_DECLARE(name, result, arguments) result name arguments;
#define RA_POINTER(name, result, arguments) name,
#define RA_TABLE(set)                                     \
    namespace set {                                       \
    RA_KERNELS(RA_DECLARE)                                \
    const Kernels table = {#set, RA_KERNELS(RA_POINTER)}; \
    }
RA_ISAS(RA_TABLE)

namespace {

bool runs(const std::string& isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (isa == "v4")
        return runs("v3") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    // Every processor with AVX2 and BMI2 has the rest of v3 (F16C, MOVBE, LZCNT) too.
    if (isa == "v3")
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
#else
    return isa == "generic";
#endif
}

std::vector<const Kernels*> usable_tables() {
    std::vector<const Kernels*> found;
#define RA_USABLE(set) \
    if (runs(#set)) found.push_back(&set::table);
    RA_ISAS(RA_USABLE)
#undef RA_USABLE
    return found;
}

std::atomic<const Kernels*>& in_force() {
    static std::atomic<const Kernels*> table = [] {
        const auto tables = usable_tables();
        return tables.empty() ? nullptr : tables.front();
    }();
    return table;
}

}  // namespace

const Kernels& kernels() { return *in_force().load(std::memory_order_relaxed); }

std::vector<std::string> usable() {
    std::vector<std::string> names;
    for (const Kernels* table : usable_tables()) names.emplace_back(table->isa);
    return names;
}

bool choose(const std::string& isa) {
    for (const Kernels* table : usable_tables())
        if (isa == table->isa) {
            in_force().store(table, std::memory_order_relaxed);
            return true;
        }
    return false;
}

}  // namespace ra

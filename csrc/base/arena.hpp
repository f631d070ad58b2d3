// Cuts one piece of memory into aligned arrays. Cutting a null piece measures how large it must be: a workspace is a
// struct whose constructor takes its arrays from an Arena.
#pragma once

#include <cstddef>

namespace ra::RA_ISA {

class Arena {
  public:
    explicit Arena(void* memory = nullptr) : memory_(static_cast<unsigned char*>(memory)) {}

    template <class T>
    T* take(std::size_t count) {
        T* piece = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
        used_ += (count * sizeof(T) + 63) / 64 * 64;
        return piece;
    }
    std::size_t used() const { return used_; }

  private:
    unsigned char* memory_;
    std::size_t used_ = 0;
};

template <class Workspace, class... Sizes>
std::size_t bytes_of(Sizes... sizes) {
    Arena measure;
    Workspace workspace(measure, sizes...);
    return measure.used();
}

}  // namespace ra::RA_ISA

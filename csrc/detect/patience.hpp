// Whether a filter is worth asking. What it cannot decide costs both itself and the exact rule; where that has happened
// more often than not, as it does when a client sends numbers far beyond the others', the next columns go to the exact
// rule at once. The answers are the same.
#pragma once

#include <algorithm>

namespace ra::RA_ISA {

class Patience {
  public:
    bool ask() { return wait_ == 0 || --wait_ == 0; }
    void learn(bool in_vain) {
        doubts_ = in_vain ? doubts_ + 1 : std::max(0, doubts_ - 1);
        if (doubts_ == 2) doubts_ = 1, wait_ = pause;
    }

  private:
    static constexpr int pause = 16;  // so long that asking in vain adds little
    int doubts_ = 0, wait_ = 0;
};

}  // namespace ra::RA_ISA

// What every binding does first: see a sequence of arrays as rows, and allocate a result of their compute dtype.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "base/parallel.hpp"
#include "dispatch.hpp"
#include "results.hpp"

namespace py = pybind11;

template <class T>
using Vector = py::array_t<T, py::array::c_style>;

ra::DType dtype_of(const py::dtype& dtype);  // of rows; others raise TypeError

// Rows of a Python sequence of arrays, or of one matrix, kept alive for as long as this object lives.
class Input {
  public:
    explicit Input(const py::sequence& rows);
    ra::RowsView view() const { return {pointers_.data(), pointers_.size(), d_, dtype_}; }
    std::size_t n() const { return pointers_.size(); }
    std::size_t d() const { return d_; }
    py::dtype compute_dtype() const;
    bool is_half() const { return ra::is_half(dtype_); }
    py::array vector() const { return new_result(compute_dtype(), {size(d_)}); }
    // Of the rows' own dtype.
    py::array result() const { return new_result(arrays_[0].dtype(), {size(d_)}); }
    ra::Result to(py::array& result) const { return {result.mutable_data(), dtype_}; }
    py::array matrix(std::size_t m) const { return new_result(compute_dtype(), {size(m), size(d_)}); }

  private:
    void take(py::array matrix);
    void take(const py::sequence& rows);
    static py::ssize_t size(std::size_t count) { return static_cast<py::ssize_t>(count); }

    std::vector<py::array> arrays_;
    std::vector<const void*> pointers_;
    std::size_t d_ = 0;
    ra::DType dtype_ = ra::DType::f32;
};

// Bits of the rejected values, checked to have a row per client and a bit per coordinate.
ra::Bits bits_of(const Vector<std::uint8_t>& rejected, const Input& rows);

// Raises TypeError unless `array` is one-dimensional, contiguous, of `size` elements and of dtype `dtype`.
void require_vector(const py::array& array, std::size_t size, const py::dtype& dtype, const char* name);

// While it lives, this thread does not hold the GIL, and computes in plain arithmetic. Where the interpreter ends
// before the thread has the GIL again, the thread waits for the end of the process: Python would unwind it, through
// destructors that do not let that pass.
class Unlocked {
  public:
    Unlocked();
    ~Unlocked();
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;

  private:
    PyThreadState* const state_;
    const ra::PlainArithmetic mode_;
};

// Lets kernels ask whether Ctrl-C has been pressed.
void hear_signals();

// Calls kernel() without the GIL; raises what a signal's handler has raised meanwhile.
template <class Kernel>
auto unlocked(const Kernel& kernel) {
    const auto result = [&] {
        const Unlocked here;
        return kernel();
    }();
    if (PyErr_Occurred() != nullptr) throw py::error_already_set();
    return result;
}

// The result, or None where kernel() met a NaN or an infinity.
template <class Kernel>
py::object checked(const py::object& result, const Kernel& kernel) {
    return unlocked(kernel) ? result : py::none();
}

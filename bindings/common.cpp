#include "common.hpp"

#include <chrono>
#include <thread>

namespace {

thread_local PyThreadState* released = nullptr;  // of a thread inside a kernel

[[noreturn]] void wait_for_the_end() {
    while (true) std::this_thread::sleep_for(std::chrono::hours(1));
}

void take_lock(PyThreadState* state) {
    try {
        PyEval_RestoreThread(state);
    } catch (...) {  // how the C library ends a thread
        wait_for_the_end();
    }
}

// How a dtype names this machine's order of bytes, where it names one.
char native_order() {
    const std::uint16_t one = 1;
    return *reinterpret_cast<const unsigned char*>(&one) == 1 ? '<' : '>';
}

bool no_signal() {
    PyThreadState* const state = released;
    if (state == nullptr) return true;
    take_lock(state);
    const bool none = PyErr_CheckSignals() == 0;  // in other threads than the main one it does nothing
    PyEval_SaveThread();
    return none;
}

}  // namespace

Unlocked::Unlocked() : state_(PyEval_SaveThread()) { released = state_; }

Unlocked::~Unlocked() {
    released = nullptr;
    take_lock(state_);
}

void hear_signals() { ra::ask(&no_signal); }

ra::DType dtype_of(const py::dtype& dtype) {
    const char order = dtype.byteorder();
    if (order == '=' || order == '|' || order == native_order()) {
        if (dtype.kind() == 'f' && dtype.itemsize() == 4) return ra::DType::f32;
        if (dtype.kind() == 'f' && dtype.itemsize() == 8) return ra::DType::f64;
        if (dtype.kind() == 'f' && dtype.itemsize() == 2) return ra::DType::f16;
        if (dtype.kind() == 'u' && dtype.itemsize() == 2) return ra::DType::bf16;
    }
    throw py::type_error("rows must be float32, float64, float16 or uint16 (bits of bfloat16)");
}

Input::Input(const py::sequence& rows) {
    if (rows.size() == 0) throw py::value_error("no rows");
    pointers_.reserve(rows.size());
    if (py::isinstance<py::array>(rows))
        take(py::reinterpret_borrow<py::array>(rows));
    else
        take(rows);
}

void Input::take(py::array matrix) {
    if (matrix.ndim() != 2 || !(matrix.flags() & py::array::c_style))
        throw py::type_error("rows must be vectors, or one contiguous matrix");
    dtype_ = dtype_of(matrix.dtype());
    d_ = static_cast<std::size_t>(matrix.shape(1));
    const auto bytes = d_ * static_cast<std::size_t>(matrix.itemsize());
    const auto* row = static_cast<const char*>(matrix.data());
    for (py::ssize_t i = 0; i < matrix.shape(0); ++i, row += bytes) pointers_.push_back(row);
    arrays_.push_back(std::move(matrix));
}

void Input::take(const py::sequence& rows) {
    arrays_.reserve(rows.size());
    for (const py::handle& item : rows) {
        if (!py::isinstance<py::array>(item)) throw py::type_error("rows must be NumPy arrays");
        auto array = py::reinterpret_borrow<py::array>(item);
        const auto size = static_cast<std::size_t>(array.size());
        if (arrays_.empty()) {
            dtype_ = dtype_of(array.dtype());
            d_ = size;
        }
        const bool same = arrays_.empty() || array.dtype().is(arrays_[0].dtype()) || dtype_of(array.dtype()) == dtype_;
        if (array.ndim() != 1 || !(array.flags() & py::array::c_style) || !same || size != d_)
            throw py::type_error("rows must be one-dimensional, contiguous, of one dtype and one length");
        pointers_.push_back(array.data());
        arrays_.push_back(std::move(array));
    }
}

py::dtype Input::compute_dtype() const {
    return dtype_ == ra::DType::f64 ? py::dtype::of<double>() : py::dtype::of<float>();
}

ra::Bits bits_of(const Vector<std::uint8_t>& rejected, const Input& rows) {
    const std::size_t row_bytes = (rows.d() + 7) / 8;
    if (rejected.ndim() != 2 || static_cast<std::size_t>(rejected.shape(0)) != rows.n() ||
        static_cast<std::size_t>(rejected.shape(1)) != row_bytes)
        throw py::type_error("rejected must be (n, ceil(d / 8))");
    return {rejected.data(), row_bytes};
}

void require_vector(const py::array& array, std::size_t size, const py::dtype& dtype, const char* name) {
    if (array.ndim() != 1 || !(array.flags() & py::array::c_style) || !array.dtype().equal(dtype) ||
        static_cast<std::size_t>(array.size()) != size)
        throw py::type_error(std::string(name) + " must be a contiguous vector of matching length and dtype");
}

#include <pybind11/stl.h>

#include "common.hpp"
#include "options.hpp"

namespace {

py::array finite_rows(const py::sequence& sequence, int threads) {
    const Input rows(sequence);
    Vector<bool> out(rows.n());
    unlocked([&, to = out.mutable_data()] {
        ra::kernels().finite(rows.view(), to, threads);
        return true;
    });
    return out;  // counts a reference: the GIL is needed
}

py::array narrow(const Vector<float>& values, const py::dtype& dtype, int threads) {
    const ra::DType to = dtype_of(dtype);
    if (!ra::is_half(to)) throw py::type_error("half precision is float16 or uint16");
    py::array out = new_result(dtype, {values.shape(), values.shape() + values.ndim()});
    const auto d = static_cast<std::size_t>(values.size());
    unlocked([&, from = values.data(), result = ra::Result{out.mutable_data(), to}] {
        ra::kernels().narrow(from, d, result, threads);
        return true;
    });
    return out;
}

py::object weighted_mean(const py::sequence& sequence, const Vector<double>& weights, int threads) {
    const Input rows(sequence);
    require_vector(weights, rows.n(), py::dtype::of<double>(), "weights");
    py::array out = rows.result();
    return checked(out, [&, to = rows.to(out), w = weights.data()] {
        return ra::kernels().weighted_mean(rows.view(), w, to, threads);
    });
}

py::object rectified_mean(const py::sequence& sequence, const Vector<std::uint8_t>& rejected, const py::array& median,
                          const Vector<double>& weights, const ra::Rescale& rescale, int threads) {
    const Input rows(sequence);
    const ra::Bits bits = bits_of(rejected, rows);
    require_vector(median, rows.d(), rows.compute_dtype(), "median");
    require_vector(weights, rows.n(), py::dtype::of<double>(), "weights");
    py::array out = rows.result();
    return checked(out, [&, to = rows.to(out), middle = median.data(), w = weights.data()] {
        return ra::kernels().rectified_mean(rows.view(), bits, middle, w, rescale, to, threads);
    });
}

py::object rectify(const py::sequence& sequence, const Vector<std::uint8_t>& rejected, const py::array& median,
                   const ra::Rescale& rescale, int threads) {
    const Input rows(sequence);
    const ra::Bits bits = bits_of(rejected, rows);
    require_vector(median, rows.d(), rows.compute_dtype(), "median");
    py::array out = rows.matrix(rows.n());
    return checked(out, [&, to = out.mutable_data(), middle = median.data()] {
        return ra::kernels().rectify(rows.view(), bits, middle, rescale, to, threads);
    });
}

}  // namespace

void register_mean(py::module_& m) {
    m.def("finite", &finite_rows);
    m.def("narrow", &narrow);
    m.def("weighted_mean", &weighted_mean);
    m.def("rectified_mean", &rectified_mean);
    m.def("rectify", &rectify);
}

#include <pybind11/stl.h>

#include <algorithm>

#include "common.hpp"

namespace {

ra::Confidence confidence_of(std::optional<double> value_range, const std::string& rescale,
                             const std::string& intercept, double interval_width, double scale_floor) {
    return {rescale_of(value_range, rescale), intercept_of(intercept), interval_width, scale_floor};
}

py::object detect(const py::sequence& sequence, std::optional<double> value_range, const std::string& rescale,
                  const std::string& intercept, double interval_width, double threshold, double scale_floor,
                  int threads) {
    const Input rows(sequence);
    const auto parameters = confidence_of(value_range, rescale, intercept, interval_width, scale_floor);
    Vector<std::uint8_t> rejected({rows.n(), (rows.d() + 7) / 8});
    Vector<std::int64_t> counts(rows.n());
    py::array median = rows.vector();
    return checked(py::make_tuple(rejected, median, counts),
                   [&, bits = rejected.mutable_data(), middle = median.mutable_data(), c = counts.mutable_data()] {
                       std::fill(c, c + rows.n(), 0);
                       return ra::kernels().detect(rows.view(), parameters, threshold, bits, middle, c, threads);
                   });
}

py::object confidence(const py::sequence& sequence, std::optional<double> value_range, const std::string& rescale,
                      const std::string& intercept, double interval_width, double scale_floor, int threads) {
    const Input rows(sequence);
    const auto parameters = confidence_of(value_range, rescale, intercept, interval_width, scale_floor);
    py::array out = rows.matrix(rows.n());
    return checked(
        out, [&, to = out.mutable_data()] { return ra::kernels().confidence(rows.view(), parameters, to, threads); });
}

py::object repeated_median(const py::sequence& sequence, const std::string& name, int threads) {
    const Input rows(sequence);
    const ra::Intercept kind = intercept_of(name);
    py::array slope = rows.vector(), intercept = rows.vector();
    return checked(py::make_tuple(slope, intercept), [&, s = slope.mutable_data(), b = intercept.mutable_data()] {
        return ra::kernels().repeated_median(rows.view(), kind, s, b, threads);
    });
}

}  // namespace

void register_detect(py::module_& m) {
    m.def("detect", &detect);
    m.def("confidence", &confidence);
    m.def("repeated_median", &repeated_median);
    m.def("force_path", [](int path) {
        if (!ra::kernels().force_path(path)) throw py::value_error("unknown path");
    });
}

#include <algorithm>

#include "common.hpp"
#include "options.hpp"

namespace {

py::object detect(const py::sequence& sequence, const ra::Confidence& options, double threshold, int threads) {
    const Input rows(sequence);
    Vector<std::uint8_t> rejected({rows.n(), (rows.d() + 7) / 8});
    Vector<std::int64_t> counts(rows.n());
    py::array median = rows.vector();
    return checked(py::make_tuple(rejected, median, counts),
                   [&, bits = rejected.mutable_data(), middle = median.mutable_data(), c = counts.mutable_data()] {
                       std::fill(c, c + rows.n(), 0);
                       return ra::kernels().detect(rows.view(), options, threshold, bits, middle, c, threads);
                   });
}

py::object confidence(const py::sequence& sequence, const ra::Confidence& options, int threads) {
    const Input rows(sequence);
    py::array out = rows.matrix(rows.n());
    return checked(
        out, [&, to = out.mutable_data()] { return ra::kernels().confidence(rows.view(), options, to, threads); });
}

py::object repeated_median(const py::sequence& sequence, ra::Intercept kind, int threads) {
    const Input rows(sequence);
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

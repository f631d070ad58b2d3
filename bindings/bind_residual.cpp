#include "common.hpp"
#include "options.hpp"

namespace {

py::object residual_weights(const py::sequence& sequence, const ra::Residual& options, int threads) {
    const Input rows(sequence);
    Vector<std::int64_t> total(rows.n());
    return checked(total, [&, to = total.mutable_data()] {
        return ra::kernels().residual_weights(rows.view(), options, to, threads);
    });
}

py::object residual_mean(const py::sequence& sequence, const Vector<double>& weights, const ra::Residual& options,
                         double threshold, int threads) {
    const Input rows(sequence);
    require_vector(weights, rows.n(), py::dtype::of<double>(), "weights");
    py::array out = rows.result();
    return checked(out, [&, to = rows.to(out), w = weights.data()] {
        return ra::kernels().residual_mean(rows.view(), w, options, threshold, to, threads);
    });
}

}  // namespace

void register_residual(py::module_& m) {
    m.def("residual_weights", &residual_weights);
    m.def("residual_mean", &residual_mean);
}

#include "common.hpp"

namespace {

py::object residual_weights(const py::sequence& sequence, const std::string& intercept, double interval_width,
                            double scale_floor, bool leave_smallest, int threads) {
    const Input rows(sequence);
    const ra::Residual parameters{intercept_of(intercept), interval_width, scale_floor, leave_smallest};
    Vector<std::int64_t> total(rows.n());
    return checked(total, [&, to = total.mutable_data()] {
        return ra::kernels().residual_weights(rows.view(), parameters, to, threads);
    });
}

py::object residual_mean(const py::sequence& sequence, const Vector<double>& weights, const std::string& intercept,
                         double interval_width, double threshold, double scale_floor, bool leave_smallest,
                         int threads) {
    const Input rows(sequence);
    require_vector(weights, rows.n(), py::dtype::of<double>(), "weights");
    const ra::Residual parameters{intercept_of(intercept), interval_width, scale_floor, leave_smallest};
    py::array out = rows.result();
    return checked(out, [&, to = rows.to(out), w = weights.data()] {
        return ra::kernels().residual_mean(rows.view(), w, parameters, threshold, to, threads);
    });
}

}  // namespace

void register_residual(py::module_& m) {
    m.def("residual_weights", &residual_weights);
    m.def("residual_mean", &residual_mean);
}

#include "common.hpp"
#include "detect/reputation.hpp"

namespace {

py::array beta_reputation(const Vector<std::int64_t>& accepted, const Vector<std::int64_t>& rejected,
                          double positive_weight, double prior, double prior_weight) {
    const auto n = static_cast<std::size_t>(accepted.size());
    require_vector(accepted, n, py::dtype::of<std::int64_t>(), "accepted");
    require_vector(rejected, n, py::dtype::of<std::int64_t>(), "rejected");
    Vector<double> out(n);
    const std::int64_t *p = accepted.data(), *q = rejected.data();
    double* to = out.mutable_data();
    unlocked([&] {
        ra::beta_reputation(p, q, n, {positive_weight, prior, prior_weight}, to);
        return true;
    });
    return out;  // counts a reference: the GIL is needed
}

py::array decayed_score(const Vector<std::int64_t>& rounds, const Vector<double>& observed, std::int64_t now,
                        double decay, std::int64_t window) {
    if (rounds.ndim() != 2 || observed.ndim() != 2 || rounds.shape(0) != observed.shape(0) ||
        rounds.shape(1) != observed.shape(1))
        throw py::type_error("rounds and observed must be (m, s)");
    const auto m = static_cast<std::size_t>(rounds.shape(0)), s = static_cast<std::size_t>(rounds.shape(1));
    Vector<double> out(m);
    const std::int64_t* when = rounds.data();
    const double* what = observed.data();
    double* to = out.mutable_data();
    unlocked([&] {
        ra::decayed_score(when, what, m, s, {now, decay, window}, to);
        return true;
    });
    return out;  // counts a reference: the GIL is needed
}

}  // namespace

void register_reputation(py::module_& m) {
    m.def("beta_reputation", &beta_reputation);
    m.def("decayed_score", &decayed_score);
}

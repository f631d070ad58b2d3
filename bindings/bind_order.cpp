#include "common.hpp"

namespace {

py::object median(const py::sequence& sequence, int threads) {
    const Input rows(sequence);
    py::array out = rows.vector();
    return checked(out, [&, to = out.mutable_data()] { return ra::kernels().median(rows.view(), to, threads); });
}

py::object trimmed_mean(const py::sequence& sequence, std::size_t k, int threads) {
    const Input rows(sequence);
    if (rows.n() <= 2 * k) throw py::value_error("nothing is left after trimming");
    py::array out = rows.vector();
    return checked(out,
                   [&, to = out.mutable_data()] { return ra::kernels().trimmed_mean(rows.view(), k, to, threads); });
}

}  // namespace

void register_order(py::module_& m) {
    m.def("median", &median);
    m.def("trimmed_mean", &trimmed_mean);
}

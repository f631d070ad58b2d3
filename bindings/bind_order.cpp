#include "common.hpp"

namespace {

py::object median(const py::sequence& sequence, int threads) {
    const Input rows(sequence);
    py::array out = rows.result();
    return checked(out, [&, to = rows.to(out)] { return ra::kernels().median(rows.view(), to, threads); });
}

py::object trimmed_mean(const py::sequence& sequence, std::size_t k, int threads) {
    const Input rows(sequence);
    if (rows.n() <= 2 * k) throw py::value_error("nothing is left after trimming");
    py::array out = rows.result();
    return checked(out, [&, to = rows.to(out)] { return ra::kernels().trimmed_mean(rows.view(), k, to, threads); });
}

py::object mean_around_median(const py::sequence& sequence, std::size_t k, int threads) {
    const Input rows(sequence);
    if (k < 1 || k > rows.n()) throw py::value_error("k must be between 1 and the number of rows");
    py::array out = rows.result();
    return checked(out,
                   [&, to = rows.to(out)] { return ra::kernels().mean_around_median(rows.view(), k, to, threads); });
}

py::object weighted_median(const py::sequence& sequence, const Vector<double>& weights, double half, int threads) {
    const Input rows(sequence);
    require_vector(weights, rows.n(), py::dtype::of<double>(), "weights");
    py::array out = rows.result();
    return checked(out, [&, w = weights.data(), to = rows.to(out)] {
        return ra::kernels().weighted_median(rows.view(), w, half, to, threads);
    });
}

py::object extremes(const py::sequence& sequence, int threads) {
    const Input rows(sequence);
    py::array greatest = rows.result(), least = rows.result();
    const py::tuple both = py::make_tuple(greatest, least);
    return checked(both, [&, high = rows.to(greatest), low = rows.to(least)] {
        return ra::kernels().extremes(rows.view(), high, low, threads);
    });
}

}  // namespace

void register_order(py::module_& m) {
    m.def("median", &median);
    m.def("trimmed_mean", &trimmed_mean);
    m.def("mean_around_median", &mean_around_median);
    m.def("weighted_median", &weighted_median);
    m.def("extremes", &extremes);
}

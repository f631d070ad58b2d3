#include <pybind11/stl.h>

#include "common.hpp"
#include "options.hpp"

namespace {

// Marks on rows, or null for none.
const std::uint8_t* marks_of(const std::optional<Vector<std::uint8_t>>& marks, std::size_t size) {
    if (!marks) return nullptr;
    if (static_cast<std::size_t>(marks->size()) != size) throw py::type_error("marks must have a number for each row");
    return marks->data();
}

py::object gram(const py::sequence& sequence, std::size_t tile, double limit,
                const std::optional<Vector<std::uint8_t>>& shrunk, int threads) {
    const Input rows(sequence);
    const std::size_t m = rows.n() + 1;
    Vector<double> out({(rows.d() + tile - 1) / tile, m, m});
    return checked(out, [&, marks = marks_of(shrunk, m), to = out.mutable_data()] {
        return ra::kernels().gram(rows.view(), tile, limit, marks, to, threads);
    });
}

py::object measure(const py::sequence& sequence, std::size_t tile, std::optional<std::size_t> reference, double limit,
                   const std::optional<Vector<std::uint8_t>>& shrunk, int threads) {
    const Input rows(sequence);
    if (reference && *reference >= rows.n()) throw py::value_error("no such row");
    Vector<double> out({(rows.d() + tile - 1) / tile, rows.n(), std::size_t(3)});
    return checked(out, [&, marks = marks_of(shrunk, 2 * rows.n()), to = out.mutable_data()] {
        return ra::kernels().measure(rows.view(), tile, reference.value_or(rows.n()), limit, marks, to, threads);
    });
}

py::object deviations(const py::sequence& sequence, const Vector<std::uint8_t>& rejected, const py::array& median,
                      const ra::Rescale& rescale, std::size_t tile, double limit,
                      const std::optional<Vector<std::uint8_t>>& shrunk, int threads) {
    const Input rows(sequence);
    const ra::Bits bits = bits_of(rejected, rows);
    require_vector(median, rows.d(), rows.compute_dtype(), "median");
    Vector<double> out({(rows.d() + tile - 1) / tile, rows.n(), std::size_t(2)});
    return checked(out, [&, middle = median.data(), marks = marks_of(shrunk, rows.n()), to = out.mutable_data()] {
        return ra::kernels().deviations(rows.view(), bits, middle, rescale, tile, limit, marks, to, threads);
    });
}

py::object manhattan(const py::sequence& sequence, std::size_t tile, double limit, int threads) {
    const Input rows(sequence);
    Vector<double> out({(rows.d() + tile - 1) / tile, rows.n(), rows.n()});
    return checked(
        out, [&, to = out.mutable_data()] { return ra::kernels().manhattan(rows.view(), tile, limit, to, threads); });
}

py::object mix(const py::sequence& sequence, const Vector<double>& matrix, int threads) {
    const Input rows(sequence);
    if (matrix.ndim() != 2 || static_cast<std::size_t>(matrix.shape(1)) != rows.n())
        throw py::type_error("matrix must be (m, n)");
    const auto m = static_cast<std::size_t>(matrix.shape(0));
    py::array out = rows.matrix(m);
    return checked(out, [&, to = out.mutable_data(), from = matrix.data()] {
        return ra::kernels().mix(rows.view(), from, m, to, threads);
    });
}

py::object differences(const py::sequence& sequence, int threads) {
    const Input rows(sequence);
    if (rows.n() < 2) throw py::value_error("a row is needed to take from the others");
    py::array out = rows.matrix(rows.n() - 1);
    return checked(out, [&, to = out.mutable_data()] { return ra::kernels().differences(rows.view(), to, threads); });
}

py::tuple top_eigenpair(const Vector<double>& matrix) {
    if (matrix.ndim() != 2 || matrix.shape(0) != matrix.shape(1) || matrix.size() == 0)
        throw py::type_error("matrix must be (n, n)");
    const auto n = static_cast<std::size_t>(matrix.shape(0));
    Vector<double> vector(n);
    const double value = unlocked(
        [from = matrix.data(), to = vector.mutable_data(), n] { return ra::kernels().top_eigenpair(from, n, to); });
    return py::make_tuple(value, vector);
}

}  // namespace

void register_gram(py::module_& m) {
    m.def("gram", &gram);
    m.def("measure", &measure);
    m.def("deviations", &deviations);
    m.def("manhattan", &manhattan);
    m.def("mix", &mix);
    m.def("differences", &differences);
    m.def("top_eigenpair", &top_eigenpair);
}

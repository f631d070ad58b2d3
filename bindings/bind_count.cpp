#include "common.hpp"

namespace {

py::object majority(const py::sequence& sequence, std::int32_t least, int threads) {
    const Input rows(sequence);
    if (least < 1) throw py::value_error("a majority is of one client at least");
    Vector<std::int8_t> out(rows.d());
    return checked(out,
                   [&, to = out.mutable_data()] { return ra::kernels().majority(rows.view(), least, to, threads); });
}

py::object sign_counts(const py::sequence& sequence, int threads) {
    const Input rows(sequence);
    Vector<std::int64_t> out({rows.n(), std::size_t(2)});
    return checked(out, [&, to = out.mutable_data()] { return ra::kernels().sign_counts(rows.view(), to, threads); });
}

py::object outermost(const py::sequence& sequence, int threads) {
    const Input rows(sequence);
    Vector<std::int64_t> out(rows.n());
    return checked(out, [&, to = out.mutable_data()] { return ra::kernels().outermost(rows.view(), to, threads); });
}

py::object magnitude_counts(const py::sequence& sequence, const Vector<std::int8_t>& signs, int shift, int bits,
                            const Vector<std::int64_t>& prefixes, int threads) {
    const Input rows(sequence);
    require_vector(signs, rows.d(), py::dtype::of<std::int8_t>(), "signs");
    require_vector(prefixes, rows.n(), py::dtype::of<std::int64_t>(), "prefixes");
    if (shift < 0 || bits < 1 || shift + bits > 31) throw py::value_error("a key has 31 bits");
    Vector<std::int64_t> out({rows.n(), std::size_t(2), std::size_t{1} << bits});
    return checked(out, [&, s = signs.data(), p = prefixes.data(), to = out.mutable_data()] {
        return ra::kernels().magnitude_counts(rows.view(), s, shift, bits, p, to, threads);
    });
}

py::object agreements(const py::sequence& sequence, const Vector<std::int64_t>& keys, int threads) {
    const Input rows(sequence);
    require_vector(keys, rows.n(), py::dtype::of<std::int64_t>(), "keys");
    Vector<std::int64_t> out({rows.n(), rows.n()});
    return checked(out, [&, k = keys.data(), to = out.mutable_data()] {
        return ra::kernels().agreements(rows.view(), k, to, threads);
    });
}

}  // namespace

void register_count(py::module_& m) {
    m.def("majority", &majority);
    m.def("sign_counts", &sign_counts);
    m.def("outermost", &outermost);
    m.def("magnitude_counts", &magnitude_counts);
    m.def("agreements", &agreements);
}

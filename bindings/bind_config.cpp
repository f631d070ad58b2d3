#include <pybind11/stl.h>

#include "base/parallel.hpp"
#include "common.hpp"

void register_config(py::module_& m) {
    m.attr("compiler") = RA_COMPILER;
    m.def("has_openmp", &ra::has_openmp);
    m.def("wake_for", &ra::wake_for);
    m.def("isa", [] { return ra::kernels().isa; });
    m.def("usable_isas", &ra::usable);
    m.def("set_isa", [](const std::string& isa) {
        if (!ra::choose(isa)) throw py::value_error("instruction set not usable here: " + isa);
    });
}

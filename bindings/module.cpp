#include "common.hpp"

void register_config(py::module_&);
void register_count(py::module_&);
void register_detect(py::module_&);
void register_gram(py::module_&);
void register_mean(py::module_&);
void register_order(py::module_&);
void register_reputation(py::module_&);
void register_residual(py::module_&);
void register_truth(py::module_&);

PYBIND11_MODULE(_native, m, py::mod_gil_not_used()) {
    if (ra::usable().empty()) throw py::import_error("this processor is older than x86-64-v2");
    hear_signals();
    register_config(m);
    register_count(m);
    register_detect(m);
    register_gram(m);
    register_mean(m);
    register_order(m);
    register_reputation(m);
    register_residual(m);
    register_truth(m);
}

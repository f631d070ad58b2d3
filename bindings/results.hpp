// Memory for the kernels' results.
#pragma once

#include <pybind11/numpy.h>

#include <vector>

namespace py = pybind11;

// An uninitialised array; a large one begins at a cache line, in memory of base/pool.hpp.
py::array new_result(const py::dtype& dtype, const std::vector<py::ssize_t>& shape);

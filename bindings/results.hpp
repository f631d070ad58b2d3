// Memory for the kernels' results.
#pragma once

#include <pybind11/numpy.h>

#include <vector>

namespace py = pybind11;

// An uninitialised array. A large one begins at a cache line, and lies, if it fits, where an earlier result lay that
// nobody holds any more: the system clears fresh memory first, which takes a third of the time of a mean of ten
// clients.
py::array new_result(const py::dtype& dtype, const std::vector<py::ssize_t>& shape);

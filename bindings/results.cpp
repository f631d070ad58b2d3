#include "results.hpp"

#include "base/pool.hpp"

py::array new_result(const py::dtype& dtype, const std::vector<py::ssize_t>& shape) {
    auto size = static_cast<std::size_t>(dtype.itemsize());
    for (const py::ssize_t length : shape) size *= static_cast<std::size_t>(length);
    if (size < ra::pooled_from) return py::array(dtype, shape);
    const py::capsule owner(ra::take_memory(size), &ra::give_back);
    return py::array(dtype, shape, owner.get_pointer(), owner);
}

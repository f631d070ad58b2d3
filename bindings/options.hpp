// What kernels are told, from the objects of robustagg.kernels.interface: their attributes are read here and nowhere
// else. An option more is a field here, there and in kernels.hpp.
#pragma once

#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels.hpp"

namespace pybind11::detail {

// The name as Python's own string, made once: an option is read in a fourth of the time.
inline handle interned(const char* name) {
    static std::vector<std::pair<const char*, handle>> known;  // under the GIL
    for (const auto& [text, string] : known)
        if (text == name) return string;
    return known.emplace_back(name, PyUnicode_InternFromString(name)).second;
}

template <class T>
T attribute(handle options, const char* name) {
    return options.attr(interned(name)).cast<T>();
}

template <>
struct type_caster<ra::Intercept> {
    PYBIND11_TYPE_CASTER(ra::Intercept, const_name("str"));
    bool load(handle given, bool) {
        const auto name = given.cast<std::string>();
        if (name == "separate")
            value = ra::Intercept::separate;
        else if (name == "hierarchical")
            value = ra::Intercept::hierarchical;
        else if (name == "median_point")
            value = ra::Intercept::median_point;
        else
            throw value_error("unknown intercept");
        return true;
    }
};

template <>
struct type_caster<ra::Rescale> {
    PYBIND11_TYPE_CASTER(ra::Rescale, const_name("Rescale"));
    bool load(handle given, bool) {
        const auto mode = attribute<std::string>(given, "mode");
        if (mode != "clip" && mode != "paper") throw value_error("unknown rescale");
        value.mode = mode == "clip" ? ra::RescaleMode::clip : ra::RescaleMode::paper;
        const auto range = attribute<std::optional<double>>(given, "value_range");
        value.value_range = range.value_or(ra::Rescale{}.value_range);
        return true;
    }
};

template <>
struct type_caster<ra::Confidence> {
    PYBIND11_TYPE_CASTER(ra::Confidence, const_name("Confidence"));
    bool load(handle given, bool) {
        value = {attribute<ra::Rescale>(given, "rescale"), attribute<ra::Intercept>(given, "intercept"),
                 attribute<double>(given, "interval_width"), attribute<double>(given, "scale_floor")};
        return true;
    }
};

template <>
struct type_caster<ra::Residual> {
    PYBIND11_TYPE_CASTER(ra::Residual, const_name("Residual"));
    bool load(handle given, bool) {
        value = {attribute<ra::Intercept>(given, "intercept"), attribute<double>(given, "interval_width"),
                 attribute<double>(given, "scale_floor"), attribute<bool>(given, "leave_smallest")};
        return true;
    }
};

}  // namespace pybind11::detail

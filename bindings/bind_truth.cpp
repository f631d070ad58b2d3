#include <pybind11/stl.h>
#include <cmath>
#include <optional>
#include <vector>

#include "common.hpp"
#include "truth/slice_items.hpp"

namespace {

using Codes = Vector<std::int32_t>;
using Starts = Vector<std::int64_t>;
using Reals = Vector<double>;

std::size_t size_of(const py::array& array) { return static_cast<std::size_t>(array.size()); }

std::size_t items_of(const Starts& starts) {
    if (starts.ndim() != 1 || starts.size() == 0) throw py::type_error("starts must be (N + 1,)");
    return size_of(starts) - 1;
}

ra::Answers answers_of(const Starts& starts, const Codes& workers, const Reals& values, std::size_t count) {
    require_vector(values, size_of(workers), py::dtype::of<double>(), "values");
    return {starts.data(), workers.data(), values.data(), items_of(starts), size_of(workers), count};
}

ra::ItemScale scale_of(const Reals& centre, const Reals& inverse, const Reals& factor, double coarse, double fine,
                       std::size_t items) {
    for (const Reals* vector : {&centre, &inverse, &factor})
        require_vector(*vector, items, py::dtype::of<double>(), "a scale");
    return {centre.data(), inverse.data(), factor.data(), coarse, fine};
}

// Slices as Python holds them: (items, starts, workers, values, how many are wide).
struct Arranged {
    Codes items;
    Starts starts;
    Codes workers;
    Reals values;
    std::size_t wide;

    explicit Arranged(const py::tuple& from)
        : items(from[0].cast<Codes>()),
          starts(from[1].cast<Starts>()),
          workers(from[2].cast<Codes>()),
          values(from[3].cast<Reals>()),
          wide(from[4].cast<std::size_t>()) {}

    ra::Slices slices() const {
        return {items.data(), starts.data(), workers.data(), values.data(), items_of(starts), wide};
    }
};

py::tuple arranged(const Starts& starts, const Codes& workers, const Reals& values, std::size_t count, int threads) {
    const ra::Answers answers = answers_of(starts, workers, values, count);
    Codes order(answers.items + ra::Slices::width);
    std::vector<std::int64_t> slice_starts(answers.items + 1);
    ra::Sliced sliced{};
    auto* places = order.mutable_data();
    {
        const py::gil_scoped_release release;
        sliced = ra::slice_items(starts.data(), answers.items, places, slice_starts.data());
    }
    const Starts kept(sliced.count + 1, slice_starts.data());
    const auto size = static_cast<std::size_t>(slice_starts[sliced.count]) * ra::Slices::width;
    Codes who(size);
    Reals what(size);
    {
        const ra::Slices into{order.data(), kept.data(), nullptr, nullptr, sliced.count, sliced.wide};
        auto* to_workers = who.mutable_data();
        auto* to_values = what.mutable_data();
        const py::gil_scoped_release release;
        ra::kernels().arranged(answers, into, to_workers, to_values, threads);
    }
    return py::make_tuple(order, kept, who, what, sliced.wide);
}

py::tuple group_answers(const Codes& keys, std::size_t count) {
    Starts starts(count + 1);
    Codes order(size_of(keys));
    {
        auto* to = starts.mutable_data();
        auto* places = order.mutable_data();
        const py::gil_scoped_release release;
        ra::kernels().group_answers(keys.data(), size_of(keys), count, to, places);
    }
    return py::make_tuple(starts, order);
}

void sort_answers(const Starts& starts, Codes& workers, Reals& values, int threads) {
    require_vector(values, size_of(workers), py::dtype::of<double>(), "values");
    const std::size_t items = items_of(starts);
    auto* who = workers.mutable_data();
    auto* what = values.mutable_data();
    const py::gil_scoped_release release;
    ra::kernels().sort_answers(starts.data(), items, who, what, threads);
}

py::tuple spread_answers(const Starts& starts, const Reals& values, double smallest, int threads) {
    const std::size_t items = items_of(starts);
    Reals mean(items), deviation(items);
    {
        auto *m = mean.mutable_data(), *s = deviation.mutable_data();
        const py::gil_scoped_release release;
        ra::kernels().spread_answers(starts.data(), items, values.data(), smallest, m, s, threads);
    }
    return py::make_tuple(mean, deviation);
}

// `slices` of the answers, for means; `before`, truths, or None.
py::tuple truth_step(const Starts& starts, const Codes& workers, const Reals& values, std::size_t count,
                     const std::optional<py::tuple>& slices, const Reals& centre, const Reals& inverse,
                     const Reals& factor, double coarse, double fine, const Reals& weights, double prior, int location,
                     int loss, const std::optional<Reals>& before, int threads) {
    const ra::Answers answers = answers_of(starts, workers, values, count);
    const ra::ItemScale scale = scale_of(centre, inverse, factor, coarse, fine, answers.items);
    require_vector(weights, count, py::dtype::of<double>(), "weights");
    if (before) require_vector(*before, answers.items, py::dtype::of<double>(), "before");
    const std::optional<Arranged> sides = slices ? std::optional<Arranged>(*slices) : std::nullopt;
    if (!sides && static_cast<ra::Location>(location) == ra::Location::mean) throw py::type_error("means need slices");
    Reals truth(answers.items), losses(count);
    double moved = 0.0;
    {
        auto *t = truth.mutable_data(), *l = losses.mutable_data();
        const ra::Slices sliced = sides ? sides->slices() : ra::Slices{};
        const double* old = before ? before->data() : nullptr;
        const py::gil_scoped_release release;
        moved = ra::kernels().truth_step(answers, &sliced, scale, weights.data(), prior,
                                         static_cast<ra::Location>(location), static_cast<ra::Loss>(loss), old, t, l,
                                         threads);
    }
    return py::make_tuple(truth, losses, before ? moved : HUGE_VAL);
}

py::array group_medians(const Starts& starts, const Codes& workers, const Reals& values, const Reals& centre,
                        const Reals& inverse, const Reals& weights, const Codes& groups, std::size_t count,
                        int threads) {
    const ra::Answers answers = answers_of(starts, workers, values, size_of(weights));
    const ra::ItemScale scale = scale_of(centre, inverse, inverse, 1.0, 0.0, answers.items);
    require_vector(groups, answers.count, py::dtype::of<std::int32_t>(), "groups");
    Reals out(answers.items);
    {
        auto* to = out.mutable_data();
        const py::gil_scoped_release release;
        ra::kernels().group_medians(answers, scale, weights.data(), groups.data(), count, to, threads);
    }
    return out;  // counts a reference: the GIL is needed
}

}  // namespace

void register_truth(py::module_& m) {
    m.def("group_answers", &group_answers);
    m.def("sort_answers", &sort_answers, py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg());
    m.def("spread_answers", &spread_answers);
    m.def("arranged", &arranged);
    m.def("truth_step", &truth_step);
    m.def("group_medians", &group_medians);
}

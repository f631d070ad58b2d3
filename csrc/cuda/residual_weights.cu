// Residual-based re-weighting: over all coordinates, each client's confidence times the sample deviation of all,
// rounded to whole numbers, so that sums do not depend on their order.
#include "cuda/line.cuh"

// Exactly 0 where all are equal.
RA_DEVICE double sample_deviation(const Compute* confidence, int n) {
    double mean = 0, sum = 0;
    for (int i = 0; i < n; ++i) mean += (static_cast<double>(confidence[i]) - confidence[0]) / n;
    for (int i = 0; i < n; ++i) {
        const double difference = static_cast<double>(confidence[i]) - confidence[0] - mean;
        sum += difference * difference / (n - 1);
    }
    return root(sum);
}

RA_KERNEL residual_weights(RA_ROWS, const Compute* gaps, const Compute* bounds, int intercept, double scale_floor,
                           int leave_smallest, double unit, i64* total) {
    const int n = number(clients);
    const Judging rule = {beside(gaps, n), bounds, intercept, leave_smallest, scale_floor};
    i64 own[capacity];
    for (int i = 0; i < n; ++i) own[i] = 0;
    RA_EACH(j, d) {
        Compute v[capacity], confidence[capacity];
        if (!load(rows, n, j, v)) *odd = 1;
        sort(v, n);
        judge(v, n, Column(v, n), rule, confidence);
        const double deviation = sample_deviation(confidence, n);
        for (int i = 0; i < n; ++i)
            own[i] +=
                static_cast<i64>(nearest_whole(of_value(widened(rows[i][j]), v, confidence, n) * deviation / unit));
    }
    for (int i = 0; i < n; ++i) add_of_all(total + i, own[i]);
}

// The weighted mean, each value of a confidence below the threshold replaced by the line's.
#include "cuda/line.cuh"

RA_KERNEL residual_mean(RA_ROWS, const Compute* gaps, const Compute* bounds, int intercept, double scale_floor,
                        int leave_smallest, const double* weights, double threshold, Compute* out) {
    const int n = number(clients);
    const Judging rule = {beside(gaps, n), bounds, intercept, leave_smallest, scale_floor};
    RA_EACH(j, d) {
        Compute v[capacity], confidence[capacity];
        if (!load(rows, n, j, v)) *odd = 1;
        sort(v, n);
        const Column column(v, n);
        Line line = {0, 0};
        if (n >= 3) line = judge(v, n, column, rule, confidence);
        double sum = 0;
        for (int i = 0; i < n; ++i) {
            Compute value = widened(rows[i][j]);
            if (n >= 3 && static_cast<double>(of_value(value, v, confidence, n)) < threshold) {
                int first = 0, equals = 0;  // equal values have the line's value at the middle of their ranks
                for (int k = 0; k < n; ++k) {
                    first += v[k] < value;
                    equals += v[k] == value;
                }
                value = column.as_sent(line.start + line.slope * (first + (equals - 1) * 0.5));
            }
            sum += weights[i] * value;
        }
        out[j] = result_of(sum);
    }
}

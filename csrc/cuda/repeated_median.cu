// Slope and intercept of the repeated-median line through each sorted column (Siegel 1982).
#include "cuda/line.cuh"

RA_KERNEL repeated_median(RA_ROWS, const Compute* gaps, int intercept, Compute* slope, Compute* start) {
    const int n = number(clients);
    const Compute* const own_gaps = beside(gaps, n);
    RA_EACH(j, d) {
        Compute v[capacity];
        if (!load(rows, n, j, v)) *odd = 1;
        sort(v, n);
        const Column column(v, n);
        const Line line = line_of(column.z, n, intercept, own_gaps);
        slope[j] = result_of(line.slope / static_cast<double>(column.unit));
        start[j] = column.as_sent(line.start);
    }
}

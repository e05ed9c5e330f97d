import type { Histogram } from '../stats/histogram.ts';
import { Histogram as Distribution } from '../stats/histogram.ts';
import { distribution } from '../report/families.ts';
import type { ComparisonReport, ErrorReport } from './document.ts';

/** Both are float64 on axes of their own: equal instants differ by less than this. */
const GRAIN_NS = 2 ** -8;

/** One line of a comparison: the same spans as they are and as they are estimated, ns each. */
export class Comparison {
  readonly exact = new Distribution();
  readonly estimate = new Distribution();
  /** Estimate minus exact, span by span. */
  readonly error = new Distribution();

  add(exact: number, estimate: number): void {
    if (Number.isNaN(exact) || Number.isNaN(estimate)) return;
    this.exact.record(exact);
    this.estimate.record(estimate);
    this.error.record(Math.round((estimate - exact) / GRAIN_NS) * GRAIN_NS);
  }

  get report(): ComparisonReport {
    return {
      count: this.error.count,
      exact: distribution(this.exact),
      estimate: distribution(this.estimate),
      error: errorReport(this.error, this.exact.sum),
    };
  }
}

function errorReport(h: Histogram, exactSum: number): ErrorReport {
  const at = (q: number): number | null => (h.count === 0 ? null : h.quantile(q));
  return {
    mean_ns: h.count === 0 ? null : h.mean,
    min_ns: h.count === 0 ? null : h.min,
    p1_ns: at(0.01),
    p50_ns: at(0.5),
    p90_ns: at(0.9),
    p99_ns: at(0.99),
    max_ns: h.count === 0 ? null : h.max,
    share_of_exact: exactSum > 0 ? h.sum / exactSum : null,
  };
}

import { distribution } from '../report/families.ts';
import { Histogram } from '../stats/histogram.ts';
import { Comparison } from './difference.ts';
import type { SplitReport } from './document.ts';
import type { FamilyLines } from './lines.ts';
import type { Side } from './side.ts';
import type { SpanLog } from './span-log.ts';

/** The comparisons of one set of pairs: the total, every stage that both show, and what only one shows. */
export class Split {
  readonly total = new Comparison();
  private readonly lines: FamilyLines;
  private readonly stages: readonly Comparison[];
  private readonly unseen: readonly Histogram[];
  private readonly shifts: readonly Histogram[];

  constructor(lines: FamilyLines) {
    this.lines = lines;
    this.stages = lines.stages.map(() => new Comparison());
    this.unseen = lines.unseen.map(() => new Histogram());
    this.shifts = lines.shifts.map(() => new Histogram());
  }

  /** Row `e` of the exact log, row `u` of the other. */
  add(exact: SpanLog, e: number, estimate: SpanLog, u: number, sides: { exact: Side; estimate: Side }): void {
    const { lines } = this;
    this.total.add(length(exact, e, lines.total.exact), length(estimate, u, lines.total.estimate));
    // As in a report: the stages of a total are of those spans in which all of them were seen.
    const whole = complete(estimate, u);
    for (const [n, line] of lines.stages.entries()) {
      if (line.inTotal && !whole) continue;
      this.stages[n]!.add(length(exact, e, line.exact), length(estimate, u, line.estimate));
    }
    for (const [n, line] of lines.unseen.entries()) record(this.unseen[n]!, length(exact, e, line.exact));
    for (const [n, shift] of lines.shifts.entries()) {
      const from = sides.exact.ticks(exact.time(e, shift.exact));
      const to = sides.estimate.ticks(estimate.time(u, shift.estimate));
      record(this.shifts[n]!, (to - from) * sides.exact.tickNs);
    }
  }

  report(spans: SplitReport['spans']): SplitReport {
    const { lines } = this;
    const unseen = [
      ...lines.unseen.map((line, n) => ({ ...line, h: this.unseen[n]! })),
      ...lines.shifts.map((line, n) => ({ ...line, h: this.shifts[n]! })),
    ];
    return {
      spans,
      total: { name: lines.total.name, title: lines.total.title, ...this.total.report },
      stages: lines.stages.map(({ name, title }, n) => ({ name, title, ...this.stages[n]!.report })),
      unseen: unseen.map(({ name, title, hiddenIn, h }) => ({
        name,
        title,
        hidden_in: hiddenIn,
        ...distribution(h),
      })),
    };
  }
}

function complete(log: SpanLog, row: number): boolean {
  const { totalFrom, totalTo } = log.plan;
  for (let b = totalFrom; b <= totalTo; b++) if (Number.isNaN(log.time(row, b))) return false;
  return true;
}

/** ns between two boundaries of a row, preemption of the vCPU included; NaN if one was not seen. */
export function length(log: SpanLog, row: number, [from, to]: readonly [number, number]): number {
  return log.time(row, to) - log.time(row, from);
}

function record(h: Histogram, value: number): void {
  if (!Number.isNaN(value)) h.record(value);
}

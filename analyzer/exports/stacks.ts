import { StageLengths } from '../../trace/spans.ts';
import { deviceLabel, dirLabel, keyLabel, type SpanRows } from './spans.ts';

/** One path of a flame graph, root first, with the time spent in it, ns. */
export interface Stack {
  path: readonly string[];
  ns: number;
}

export const UNEXPLAINED = 'between seen boundaries';

/**
 * family; device; register, queue or line; direction; stage, with the sum of that stage's lengths over the rows. What
 * no stage of the total explains is a stage of its own, so that the stacks add up to the sum of the totals.
 */
export function stacksOf(spans: SpanRows): Stack[] {
  const sums = new StackSums();
  sums.add(spans);
  return sums.stacks;
}

/** The same over any number of batches of any families, in memory by the number of stacks. */
export class StackSums {
  private readonly groups = new Map<string, { path: string[]; titles: string[]; ns: Float64Array }>();

  get stacks(): Stack[] {
    return [...this.groups.values()].flatMap(({ path, titles, ns }) =>
      [...ns].flatMap((sum, s) => (sum > 0 ? [{ path: [...path, titles[s] ?? UNEXPLAINED], ns: sum }] : [])),
    );
  }

  add(spans: SpanRows): void {
    const { plan, columns, rows, weight } = spans;
    const lengths = new StageLengths(plan);
    const width = plan.stages.length + 1;
    for (const row of rows) {
      const total = columns.total[row]!;
      if (Number.isNaN(total)) continue;
      const { ns: sums } = this.group(spans, row);
      const w = weight === null ? 1 : weight[row]!;
      let rest = total;
      for (let s = 0; s + 1 < width; s++) {
        const ns = lengths.ns(columns, s, row);
        if (!plan.stages[s]!.inTotal || Number.isNaN(ns)) continue;
        rest -= ns;
        sums[s]! += ns * w;
      }
      // Differences of absolute times round in their last bits: what is below a nanosecond is that, not a gap.
      if (rest > 1) sums[width - 1]! += rest * w;
    }
  }

  private group(spans: SpanRows, row: number): { ns: Float64Array } {
    const { plan } = spans;
    const path = [plan.family, deviceLabel(spans, row), keyLabel(spans, row), dirLabel(spans, row)];
    const id = path.join('\n');
    let group = this.groups.get(id);
    if (group === undefined) {
      const titles = plan.stages.map(({ title }) => title);
      group = { path: path.filter((p) => p !== ''), titles, ns: new Float64Array(plan.stages.length + 1) };
      this.groups.set(id, group);
    }
    return group;
  }
}

/** Lines of `a;b;c 123` (ns), the input of flamegraph.pl, speedscope and others. */
export const folded = (stacks: readonly Stack[]): string =>
  stacks.map(({ path, ns }) => `${path.map(plainFrame).join(';')} ${Math.round(ns)}\n`).join('');

/** A semicolon or a line's end in a device's name would make other frames and lines of it. */
const plainFrame = (name: string): string => name.replace(/[;\u0000-\u001f\u007f\u2028\u2029]/g, '_');

/**
 * A profile for speedscope: one sample a stack, weighted in nanoseconds. Format:
 * https://www.speedscope.app/file-format-schema.json (FileFormat.File, SampledProfile).
 */
export function speedscope(name: string, stacks: readonly Stack[]): string {
  const index = new Map<string, number>();
  const frame = (text: string): number => {
    const known = index.get(text) ?? index.size;
    index.set(text, known);
    return known;
  };
  const samples = stacks.map(({ path }) => path.map(frame));
  const weights = stacks.map(({ ns }) => Math.round(ns));
  return JSON.stringify({
    $schema: 'https://www.speedscope.app/file-format-schema.json',
    name,
    exporter: 'ioreq-trace',
    activeProfileIndex: 0,
    shared: { frames: [...index.keys()].map((text) => ({ name: text })) },
    profiles: [
      {
        type: 'sampled',
        name,
        unit: 'nanoseconds',
        startValue: 0,
        endValue: weights.reduce((a, b) => a + b, 0),
        samples,
        weights,
      },
    ],
  });
}

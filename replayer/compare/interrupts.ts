import type { Divergences } from './divergences.ts';
import type { Observed } from './observed.ts';
import type { Policies } from './policy.ts';

interface Line {
  level: number;
  /** Step of the last access before each change of level; levels alternate, beginning with 1. */
  changes: number[];
}

/**
 * Compares how often each device's interrupt line rose and fell. A line starts low; a call that leaves it as it is
 * (device models make such calls) says nothing. Which access a change came after depends on threads and clocks in
 * a real device model: that is only counted.
 */
export class InterruptCheck {
  compared = 0;
  private readonly recorded = new Map<number, Line>();
  private readonly seen = new Map<number, Line>();

  /** A recorded call; `step` of the last access before it. */
  expect(step: number, transport: number, level: number): void {
    change(this.recorded, step, transport, level);
  }

  /** The target changed a line. */
  got(step: number, transport: number, level: number): void {
    change(this.seen, step, transport, level);
  }

  /** Once, at the end; `last` is the recording's last step. Nothing was recorded: nothing to compare. */
  finish(
    transports: readonly { transport: number; name: string }[],
    accessBefore: (step: number) => number,
    policies: Policies,
    divergences: Divergences,
    last: number,
  ): void {
    const any = this.recorded.size > 0;
    for (const { transport, name } of transports) {
      if (!any) continue;
      const expected = this.recorded.get(transport)?.changes ?? [];
      const got = (this.seen.get(transport)?.changes ?? []).map(accessBefore);
      this.compared += expected.length;
      const both = Math.min(expected.length, got.length);
      let first = -1;
      for (let i = 0; i < both; i++) {
        if (expected[i] === got[i]) continue;
        if (first < 0) first = i;
        policies.countPosition(1);
      }
      if (expected.length === got.length) continue;
      if (policies.irq) {
        policies.count('irq', Math.abs(expected.length - got.length));
        continue;
      }
      // Where they come apart: the first change that is not at its place, or the first that one side lacks.
      const at = first < 0 ? both : first;
      divergences.add({
        step: expected[at] ?? got[at] ?? last,
        kind: 'interrupt',
        transport,
        device: name,
        field: `change ${at} (level ${at % 2 === 0 ? 1 : 0})`,
        expected: changesText(expected, at),
        got: changesText(got, at),
      });
    }
  }

  /** Where it stands; `backTo` takes away what came behind. */
  mark(): InterruptMark {
    return { compared: this.compared, recorded: marks(this.recorded), seen: marks(this.seen) };
  }

  backTo({ compared, recorded, seen }: InterruptMark): void {
    this.compared = compared;
    rewind(this.recorded, recorded);
    rewind(this.seen, seen);
  }

  observe(observed: Observed): void {
    for (const [transport, { changes }] of [...this.seen].sort(([a], [b]) => a - b))
      observed.pair(transport, changes.length);
  }
}

/** Changes by transport. */
export interface InterruptMark {
  compared: number;
  recorded: ReadonlyMap<number, number>;
  seen: ReadonlyMap<number, number>;
}

function marks(lines: ReadonlyMap<number, Line>): Map<number, number> {
  return new Map([...lines].map(([transport, { changes }]) => [transport, changes.length]));
}

function rewind(lines: Map<number, Line>, to: ReadonlyMap<number, number>): void {
  for (const [transport, line] of lines) {
    const changes = to.get(transport);
    if (changes === undefined) lines.delete(transport);
    else {
      line.changes.length = changes;
      // They alternate, beginning with 1.
      line.level = changes & 1;
    }
  }
}

function changesText(changes: readonly number[], at: number): string {
  const step = changes[at];
  return `${changes.length} changes, ${step === undefined ? 'not this one' : `this one at step ${step}`}`;
}

function change(lines: Map<number, Line>, step: number, transport: number, level: number): void {
  let line = lines.get(transport);
  if (line === undefined) {
    line = { level: 0, changes: [] };
    lines.set(transport, line);
  }
  if (line.level === level) return;
  line.level = level;
  line.changes.push(step);
}

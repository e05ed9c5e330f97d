import type { ClockRelation, SourceFacts } from '../../trace/manifest.ts';
import type { TracePoints } from '../../trace/recording-facts.ts';
import type { ImportResult } from '../../collector/import.ts';
import { escapeText } from './escape.ts';
import { bytes, count, duration } from './units.ts';

/** What `trace record` says at the end, in one line and one of what to do next. */
export function recordSummary({ dir, manifest, interrupted }: ImportResult): string {
  const { sources, devices, domid, clock } = manifest;
  const rows = sources.reduce((sum, source) => sum + source.rows, 0);
  if (interrupted) return `${escapeText(dir)}: not sealed yet; any command that reads it seals it`;
  const parts = [
    `${count(rows)} events of domain ${domid ?? '?'} from ${sources.map(({ id }) => id).join(', ')}`,
    devices.length === 0 ? 'no devices seen' : devices.map(({ name }) => name).join(', '),
    lossText(sources, manifest.recording?.flightBytes),
  ];
  if (clock !== undefined) parts.push(clocksText(clock));
  parts.push(`ended: ${manifest.ended}`);
  const lines = [`${escapeText(dir)}: ${parts.map(escapeText).join('; ')}`];
  const points = manifest.recording?.tracePoints;
  if (points !== undefined) lines.push(tracePointsText(points));
  return [...lines, `next: trace analyze ${escapeText(dir)}`].join('\n');
}

/** What a Xen with or without the Arm trace points means for what can be said. */
export function tracePointsText(points: TracePoints): string {
  switch (points) {
    case 'all':
      return 'Xen has the Arm trace points: traps, ioreqs and interrupts are exact';
    case 'some':
      return "Xen has Arm trace points that do not tell the counters' offsets: the clocks are estimated (docs/XEN-PATCH.md)";
    case 'none':
      return (
        'Xen has no Arm trace points: stages in Xen are not exact, interrupt injection is not seen, the clocks are ' +
        'estimated (docs/XEN-PATCH.md)'
      );
  }
}

/** What was lost, and which buffer to make larger. */
function lossText(sources: readonly SourceFacts[], flightBytes: number | undefined): string {
  if (flightBytes !== undefined) return `the last ${bytes(flightBytes)} of raw records`;
  const lost = sources.filter((source) => source.lost > 0);
  if (lost.length === 0) return 'nothing lost';
  const parts = lost.map(({ id, format, lost: n }) => {
    const option = format === 'xentrace' ? '--xen-buffer (from the next boot)' : '--buffer';
    return `${count(n)} records of ${id} LOST: try a larger ${option}`;
  });
  return parts.join(', ');
}

/** How well the clocks are joined: 'clocks joined exactly (±1 ns)'. */
export function clocksText({ exact, maxErrorNs }: ClockRelation): string {
  return exact === true
    ? `clocks joined exactly (±${duration(Math.max(1, maxErrorNs))})`
    : `clocks joined within ±${duration(maxErrorNs)}`;
}

import type { SourceFacts } from '../../trace/manifest.ts';
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
  if (clock !== undefined) parts.push(`clocks joined within ±${duration(clock.maxErrorNs)}`);
  parts.push(`ended: ${manifest.ended}`);
  return `${escapeText(dir)}: ${parts.map(escapeText).join('; ')}\nnext: trace analyze ${escapeText(dir)}`;
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

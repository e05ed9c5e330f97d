import type { ImportResult } from '../../collector/import.ts';
import { escapeText } from './escape.ts';
import { bytes, count, duration } from './units.ts';

/** What `trace record` says at the end, in one line and one of what to do next. */
export function recordSummary({ dir, manifest, interrupted }: ImportResult): string {
  const { sources, devices, domid, clock } = manifest;
  const rows = sources.reduce((sum, source) => sum + source.rows, 0);
  const lost = sources.reduce((sum, source) => sum + source.lost, 0);
  if (interrupted) return `${escapeText(dir)}: not sealed yet; any command that reads it seals it`;
  const parts = [
    `${count(rows)} events of domain ${domid ?? '?'} from ${sources.map(({ id }) => id).join(', ')}`,
    devices.length === 0 ? 'no devices seen' : devices.map(({ name }) => name).join(', '),
    lossText(lost, manifest.recording?.flightBytes),
  ];
  if (clock !== undefined) parts.push(`clocks joined within ±${duration(clock.maxErrorNs)}`);
  parts.push(`ended: ${manifest.ended}`);
  return `${escapeText(dir)}: ${parts.map(escapeText).join('; ')}\nnext: trace analyze ${escapeText(dir)}`;
}

function lossText(lost: number, flightBytes: number | undefined): string {
  if (flightBytes !== undefined) return `the last ${bytes(flightBytes)} of raw records`;
  return lost === 0 ? 'nothing lost' : `${count(lost)} records lost: try a larger --buffer`;
}

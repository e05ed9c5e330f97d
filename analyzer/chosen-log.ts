import type { AxisLine } from '../trace/axis.ts';
import { traceAxis } from '../trace/axis.ts';
import type { Manifest, SourceFacts } from '../trace/manifest.ts';
import { LogContents } from './passes/log-contents.ts';
import type { Scouted } from './scout.ts';
import { kinds } from './trace-hooks.ts';
import type { TraceView } from './view.ts';
import { streamOf } from './view.ts';

/** Contents of ioreqs (or their times) from a device model's log, where Dom0's events hold none and `chosenLog` has one. */
export function logContents(
  view: TraceView,
  dom0: SourceFacts | undefined,
  scouted: Pick<Scouted, 'pids' | 'answers'>,
): LogContents | undefined {
  const chosen = chosenLog(view.manifest, dom0, scouted);
  if (chosen === undefined) return undefined;
  return new LogContents(streamOf(view, chosen.log.id), chosen.line, chosen.timesOnly);
}

/**
 * The device model's log, if Dom0's events hold no contents of ioreqs (or no time of their service, and the log
 * has it) and the log has as many ioreqs as one thread answered. `line`: undefined if it has no place on the axis.
 */
export function chosenLog(
  manifest: Manifest,
  dom0: SourceFacts | undefined,
  scouted: Pick<Scouted, 'pids' | 'answers'>,
): { log: SourceFacts; line: AxisLine | undefined; timesOnly: boolean } | undefined {
  if (scouted.pids.length !== 1 || scouted.answers === 0 || kinds(dom0, 'dm.ioreq') > 0) return undefined;
  const { sources, logClock } = manifest;
  const logs = sources.filter((s) => s.id !== dom0?.id && kinds(s, 'dm.ioreq') === scouted.answers);
  const log = logs.find((s) => s.id === logClock?.log) ?? logs[0];
  if (log === undefined) return undefined;
  const line = traceAxis(manifest).line(log.id);
  const timesOnly = kinds(dom0, 'dom0.ioreq_answered') > 0;
  // A stamped log that found no place has a clock that jumped: its rows, sorted by stamp, may not be in order.
  if (line === undefined && (timesOnly || log.clock.unit !== 'none')) return undefined;
  return { log, line, timesOnly };
}

import { traceAxis } from '../trace/axis.ts';
import type { EventColumns } from '../trace/columns.ts';
import type { Manifest, SourceFacts } from '../trace/manifest.ts';
import type { TimedStream } from './streams.ts';

/** What the analyzer needs of a trace: openTrace's result fits, and so does one in memory. */
export interface TraceView {
  readonly manifest: Manifest;
  source(id: string): {
    batches(): Iterable<EventColumns>;
    /** Cheaper, where there is such a way: a batch is valid until the next one. */
    stream?(): Iterable<EventColumns>;
  };
}

/** The events of a source for one walk over them: a batch is valid until the next one. */
export function streamOf(view: TraceView, id: string): Iterable<EventColumns> {
  const source = view.source(id);
  return source.stream?.() ?? source.batches();
}

/** Formats of Dom0's kernel trace, best first: raw pages have every field in full. */
const DOM0_FORMATS = ['ftrace-pages', 'trace.dat', 'ftrace-text'];

/**
 * The hypervisor's and Dom0's event streams on the trace's axis. Of several of one kind the one with most rows
 * is taken. A source without a place on the axis (no time, or no relation to the other) is left out here; its
 * rows still count in the manifest.
 */
export function timedStreams(view: TraceView): {
  xen: TimedStream | undefined;
  dom0: TimedStream | undefined;
  xenFacts: SourceFacts | undefined;
  dom0Facts: SourceFacts | undefined;
} {
  const { manifest } = view;
  const axis = traceAxis(manifest);
  const timed = (facts: SourceFacts | undefined): TimedStream | undefined => {
    if (facts === undefined) return undefined;
    const line = axis.line(facts.id);
    if (line === undefined) return undefined;
    return { id: facts.id, line, batches: () => streamOf(view, facts.id) };
  };
  const xen = timed(largest(manifest.sources.filter((s) => s.format === 'xentrace')));
  const dom0Sources = manifest.sources.filter((s) => DOM0_FORMATS.includes(s.format) && s.rows > 0);
  dom0Sources.sort(
    (a, b) => DOM0_FORMATS.indexOf(a.format) - DOM0_FORMATS.indexOf(b.format) || b.rows - a.rows,
  );
  const dom0 = timed(dom0Sources[0]);
  const facts = (s: TimedStream | undefined): SourceFacts | undefined =>
    manifest.sources.find((f) => f.id === s?.id);
  return { xen, dom0, xenFacts: facts(xen), dom0Facts: facts(dom0) };
}

/** Length of the trace in ns: from 0, its first event, to the last event of any timed source. */
export function durationNs(view: TraceView): number {
  return traceAxis(view.manifest).lastNs;
}

function largest(sources: readonly SourceFacts[]): SourceFacts | undefined {
  return [...sources].sort((a, b) => b.rows - a.rows)[0];
}

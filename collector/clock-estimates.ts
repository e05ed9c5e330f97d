import type { EventColumns } from '../trace/columns.ts';
import type { ClockRelation, Manifest, SourceFacts } from '../trace/manifest.ts';
import { ALL_METHODS, explainAlignment } from './clocks/align.ts';
import type { ClockInput } from './clocks/clock-input.ts';

/** Events and facts of a trace, wherever they are held. */
export interface ClockView {
  readonly manifest: Manifest;
  source(id: string): { batches(): Iterable<EventColumns> };
}

/** What one set of bounds tells of the clocks' relation, or why it tells nothing. */
export interface ClockEstimateBy {
  name: string;
  /** Whether an unpatched Xen records what it needs. */
  unpatched: boolean;
  relation?: ClockRelation;
  refusal?: string;
}

type Method = keyof typeof ALL_METHODS;

const ALONE: readonly { method: Method; name: string; unpatched: boolean }[] = [
  { method: 'exclusion', name: 'only: no Dom0 event while its vCPU was not running', unpatched: true },
  { method: 'answers', name: 'only: notify entry <= WAKE <= notify return', unpatched: true },
  { method: 'injects', name: 'only: set_irq_level entry <= INJECT <= return', unpatched: false },
  { method: 'timer', name: "only: Dom0's timer interrupt in its list register", unpatched: false },
];

/**
 * The clocks' relation as an unpatched host's trace gives it (first; `unpatched` is the trace without its trace
 * points), with the bounds that the trace points add, and by each kind of bound alone.
 */
export function clockEstimates(view: ClockView, unpatched: ClockView): ClockEstimateBy[] {
  const none = { exclusion: false, answers: false, injects: false, timer: false };
  return [
    unpatchedEstimate(unpatched),
    { name: 'with trace points, all of it', unpatched: false, ...estimate(view, ALL_METHODS) },
    ...ALONE.map(({ method, ...rest }) => ({
      ...rest,
      ...estimate(rest.unpatched ? unpatched : view, { ...none, [method]: true }),
    })),
  ];
}

/** What an unpatched host's trace tells of its clocks: the estimate that its report would stand on. */
export function unpatchedEstimate(unpatched: ClockView): ClockEstimateBy {
  return { name: 'unpatched, all of it', unpatched: true, ...estimate(unpatched, ALL_METHODS) };
}

function estimate(
  view: ClockView,
  methods: typeof ALL_METHODS,
): { relation?: ClockRelation; refusal?: string } {
  const input = inputOf(view);
  if (typeof input === 'string') return { refusal: input };
  const { relation, refusal } = explainAlignment(input, methods);
  if (relation !== undefined) return { relation };
  return { refusal: refusal ?? 'no relation was found' };
}

function inputOf(view: ClockView): ClockInput | string {
  const { sources, host, domid } = view.manifest;
  const xen = largest(sources, (s) => s.format === 'xentrace');
  const dom0 = largest(sources, (s) => s.id.startsWith('dom0'));
  if (xen === undefined || dom0 === undefined) return 'the trace lacks one of the two sides';
  if (host.counterHz === undefined) return "the frequency of Xen's counter is not known";
  const { unit } = dom0.clock;
  if (unit !== 'ns' && unit !== 'us') return `Dom0's clock "${dom0.clock.name}" counts no seconds`;
  return {
    xen: {
      batches: () => view.source(xen.id).batches(),
      epoch: BigInt(xen.clock.epoch),
      hz: host.counterHz,
      id: xen.id,
    },
    dom0: {
      batches: () => view.source(dom0.id).batches(),
      epoch: BigInt(dom0.clock.epoch),
      clockName: dom0.clock.name,
      strings: dom0.strings,
      id: dom0.id,
      unit,
    },
    domid,
  };
}

function largest(
  sources: readonly SourceFacts[],
  test: (s: SourceFacts) => boolean,
): SourceFacts | undefined {
  return sources.filter((s) => s.rows > 0 && test(s)).sort((a, b) => b.rows - a.rows)[0];
}

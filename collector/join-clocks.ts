import type { EventColumns } from '../trace/columns.ts';
import { TWO_32 } from '../trace/columns.ts';
import { EVENT, K } from '../trace/events.ts';
import { DOM0 } from '../trace/ids.ts';
import type { ClockRelation, LogClock, Manifest, SourceFacts } from '../trace/manifest.ts';
import { UNPATCHED_METHODS, checkRelation, explainAlignment } from './clocks/align.ts';
import type { ClockInput } from './clocks/clock-input.ts';
import type { ClockFacts, ClockSpan } from './clocks/exact.ts';
import { exactRelation } from './clocks/exact.ts';
import { estimateAt } from './clocks/relation.ts';
import { alignLog } from './clocks/log-clock.ts';

/** What of a trace is read here: an opened one, or a view of it. */
export interface EventView {
  source(id: string): {
    batches(): Iterable<EventColumns>;
    /** Cheaper, where there is such a way: a batch is valid until the next one. */
    stream?(): Iterable<EventColumns>;
  };
}

/** For one walk over the events of a source. */
function streamOf(trace: EventView, id: string): Iterable<EventColumns> {
  const source = trace.source(id);
  return source.stream?.() ?? source.batches();
}

/** What the files beside the events tell of Dom0's clock (HostFindings). */
export interface KnownClocks {
  readonly timekeeper: ClockFacts['timekeeper'];
  /** Why there are no samples, if a recorder tried. */
  readonly timekeeperRemark?: string | undefined;
  readonly clockPairs: ClockFacts['pairs'];
  /** CNTPCT - CNTVCT of Dom0 in ticks, where a recorder noted it; the events tell it, too. */
  readonly dom0Offset?: bigint | undefined;
}

export interface JoinedClocks {
  relation?: ClockRelation;
  /** What to tell people, a line each. */
  warnings: string[];
}

/**
 * Finds how the hypervisor's clock lies to Dom0's, from the event files just written: exact where Xen recorded Dom0's
 * counter offset and the kernel's timekeeper is known, and what was recorded does not contradict it; else estimated.
 * Without a relation the reason is given; nothing at all if the trace lacks one of the two sides.
 */
export function joinClocks(trace: EventView, manifest: Manifest, known?: KnownClocks): JoinedClocks {
  const { input, warning } = clockInputOf(trace, manifest);
  if (input === undefined) return { warnings: warning === undefined ? [] : [warning] };
  const warnings: string[] = [];
  if (known !== undefined) {
    const exact = joinExactly(input, manifest, known);
    if (typeof exact === 'string') warnings.push(`the exact clock constant is not used: ${exact}`);
    else if (exact !== undefined) {
      if (exact.warning !== undefined) warnings.push(exact.warning);
      return { relation: exact, warnings };
    }
  }
  const { relation, refusal } = explainAlignment(input);
  if (relation !== undefined) {
    if (relation.warning !== undefined) warnings.push(relation.warning);
    return { relation, warnings };
  }
  warnings.push(`hypervisor times cannot be joined with Dom0's: ${refusal ?? 'no relation was found'}`);
  return { warnings };
}

/** The two event streams whose clocks are to be joined; neither if the trace lacks a side; why not, if it has both. */
export function clockInputOf(trace: EventView, manifest: Manifest): { input?: ClockInput; warning?: string } {
  const { xen, dom0 } = sidesOf(manifest);
  if (xen === undefined || dom0 === undefined) return {};
  const hz = manifest.host.counterHz;
  if (hz === undefined) {
    return {
      warning:
        "the frequency of Xen's counter is not known (no xl dmesg, xl info or clock samples; --counter-hz gives it): " +
        "hypervisor times cannot be joined with Dom0's",
    };
  }
  const { unit } = dom0.clock;
  if (unit !== 'ns' && unit !== 'us') {
    return {
      warning: `Dom0's clock "${dom0.clock.name}" counts no seconds: hypervisor times cannot be joined with it`,
    };
  }
  const input: ClockInput = {
    xen: { batches: () => streamOf(trace, xen.id), epoch: BigInt(xen.clock.epoch), hz, id: xen.id },
    dom0: {
      batches: () => streamOf(trace, dom0.id),
      epoch: BigInt(dom0.clock.epoch),
      clockName: dom0.clock.name,
      strings: dom0.strings,
      id: dom0.id,
      unit,
    },
    domid: manifest.domid,
  };
  return { input };
}

/** The exact relation; undefined if this Xen does not tell Dom0's offset; or why it is not to be trusted. */
function joinExactly(
  input: ClockInput,
  manifest: Manifest,
  known: KnownClocks,
): ClockRelation | string | undefined {
  // Of most hosts there is nothing to be looked for.
  const told = (sidesOf(manifest).xen?.kinds[EVENT.ARM_CNTVOFF.name] ?? 0) > 0;
  const recorded = told ? recordedOffset(input.xen.batches()) : undefined;
  if (recorded === 'several') return 'Xen recorded different counter offsets of Dom0';
  const dom0Offset = recorded ?? known.dom0Offset;
  if (dom0Offset === undefined) return undefined;
  if (known.dom0Offset !== undefined && known.dom0Offset !== dom0Offset) {
    return 'Xen recorded another counter offset of Dom0 than the recorder noted';
  }
  const { timekeeper, clockPairs: pairs, timekeeperRemark } = known;
  const facts: ClockFacts = { dom0Offset, timekeeper, pairs };
  const relation = exactRelation(input, facts, spanOf(input, manifest));
  if (typeof relation === 'string') {
    return timekeeperRemark === undefined ? relation : `${relation} (${timekeeperRemark})`;
  }
  const { outsideNs, bounds } = checkRelation(input, relation);
  // A tick for the two counters being read in one instant, and what the relation itself may be off.
  const tolerated = relation.maxErrorNs + 1e9 / input.xen.hz + 2;
  if (outsideNs > tolerated) return contradicted(outsideNs);
  const { relation: found } = explainAlignment(input, UNPATCHED_METHODS);
  if (found !== undefined && found.warning === undefined) {
    const estimate = estimateAt(found, relation.referenceDom0Ns);
    const apart = Math.abs(estimate.offsetNs - relation.offsetNs) - estimate.maxErrorNs;
    if (apart > tolerated) return contradicted(apart);
    relation.estimate = estimate;
  } else if (bounds === 0) relation.warning = 'nothing that was recorded confirms the exact clock constant';
  return relation;
}

function contradicted(byNs: number): string {
  return `what was recorded contradicts it (${byNs < 1e6 ? `by ${Math.round(byNs)} ns` : 'far'})`;
}

/** Dom0's counter offset, ticks, as Xen recorded it; undefined if it did not, 'several' if it changed. */
export function recordedOffset(batches: Iterable<EventColumns>): bigint | 'several' | undefined {
  let low = 0;
  let high = 0;
  let found = false;
  for (const { kind, domid, data, length } of batches) {
    for (let i = 0; i < length; i++) {
      if (kind[i] !== K.ARM_CNTVOFF || domid[i] !== DOM0) continue;
      if (found && (low !== data[2 * i] || high !== data[2 * i + 1])) return 'several';
      low = data[2 * i]!;
      high = data[2 * i + 1]!;
      found = true;
    }
  }
  return found ? BigInt(high) * BigInt(TWO_32) + BigInt(low) : undefined;
}

function spanOf(input: ClockInput, manifest: Manifest): ClockSpan {
  const { xen, dom0 } = sidesOf(manifest);
  const at = (epoch: bigint, ts: number): bigint => epoch + BigInt(Math.round(ts));
  const unit = input.dom0.unit === 'us' ? 1000n : 1n;
  const dom0Ns = (ts: number): bigint => at(input.dom0.epoch, ts) * unit;
  return {
    xenTicks: [at(input.xen.epoch, xen?.firstTs ?? 0), at(input.xen.epoch, xen?.lastTs ?? 0)],
    dom0Ns: [dom0Ns(dom0?.firstTs ?? 0), dom0Ns(dom0?.lastTs ?? 0)],
  };
}

function sidesOf(manifest: Manifest): { xen?: SourceFacts | undefined; dom0?: SourceFacts | undefined } {
  return {
    xen: largest(manifest, (facts) => facts.format === 'xentrace'),
    dom0: largest(manifest, (facts) => facts.id.startsWith('dom0')),
  };
}

/**
 * Finds where the stamps of a device model's log lie on Dom0's clock. Without a relation the reason is given;
 * nothing at all if there is no such log, or Dom0's trace holds the device model's events itself.
 */
export function joinLog(trace: EventView, manifest: Manifest): { relation?: LogClock; warning?: string } {
  const ioreqs = (facts: SourceFacts): number => facts.kinds['dm.ioreq'] ?? 0;
  const log = largest(
    manifest,
    (facts) => facts.format === 'qemu-log' && facts.clock.unit === 'us' && ioreqs(facts) > 0,
  );
  const dom0 = largest(manifest, (facts) => facts.id.startsWith('dom0'));
  if (log === undefined || dom0 === undefined || ioreqs(dom0) > 0) return {};
  const { unit } = dom0.clock;
  if (unit !== 'ns' && unit !== 'us') return {};
  const { relation, refusal } = alignLog({
    log: {
      batches: () => streamOf(trace, log.id),
      epoch: BigInt(log.clock.epoch),
      unit: 'us',
      ioreqs: ioreqs(log),
      id: log.id,
    },
    dom0: {
      batches: () => streamOf(trace, dom0.id),
      epoch: BigInt(dom0.clock.epoch),
      unit,
      clockName: dom0.clock.name,
      lost: dom0.lost,
      id: dom0.id,
    },
    pids: manifest.deviceModels.flatMap((model) => [model.pid, ...model.threads]),
  });
  if (relation !== undefined) return { relation };
  return {
    warning: `the device model's log has no place on Dom0's clock: ${refusal ?? 'no relation was found'}`,
  };
}

/** Of several sources of one side, the one with most rows: an excerpt may lie beside the whole. */
function largest(manifest: Manifest, test: (facts: SourceFacts) => boolean): SourceFacts | undefined {
  const found = manifest.sources.filter((facts) => facts.rows > 0 && test(facts));
  return found.sort((a, b) => b.rows - a.rows)[0];
}

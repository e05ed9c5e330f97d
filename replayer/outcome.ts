import type { Divergences } from './compare/divergences.ts';
import type { Policies } from './compare/policy.ts';
import type { UsedCounts } from './compare/used.ts';
import type { Prepared } from './prepare.ts';
import type { Recording } from './recording/load.ts';
import type { Unchecked } from './recording/unchecked.ts';
import { UNCHECKED, UNCHECKED_REASONS } from './recording/unchecked.ts';
import { REPLAY_FORMAT, REPLAY_VERSION, type ReplayResult } from './result.ts';

/** Rows that were not given to the target, by reason. */
export interface Skipped extends Record<Unchecked, number> {
  outside: number;
  unserved: number;
  unknown: number;
  notifies: number;
  status: number;
  memory: number;
}

export const NOTHING_SKIPPED: Readonly<Skipped> = {
  outside: 0,
  unserved: 0,
  unknown: 0,
  notifies: 0,
  status: 0,
  memory: 0,
  given: 0,
  amid: 0,
  changed: 0,
  needsReset: 0,
  wide: 0,
};

/** What was given to the target beside reads. */
export interface Fed {
  writes: number;
  memoryRecords: number;
  memoryBytes: number;
}

/** All that a replay has counted and found. */
export interface Outcome {
  recording: Recording;
  prepared: Prepared;
  devices: ReplayResult['devices'];
  target: string;
  /** First row that was not fed. */
  next: number;
  reads: number;
  fed: Fed;
  used: UsedCounts;
  interrupts: number;
  disks: number;
  skipped: Skipped;
  policies: Policies;
  found: Divergences;
  stopped: { step: number; why: string } | undefined;
  final: ReplayResult['final'];
  hash: string;
  wallMs: number;
}

/** The result document of one replay. */
export function resultOf(outcome: Outcome): ReplayResult {
  const { recording, prepared, used, fed, found, stopped, policies } = outcome;
  const equal = found.count === 0 && stopped === undefined && outcome.next === recording.rows;
  const unproven = whyUnproven(outcome);
  return {
    format: REPLAY_FORMAT,
    version: REPLAY_VERSION,
    recording: {
      records: recording.rows,
      accesses: recording.accesses,
      ...(recording.events === undefined ? {} : { events: recording.events }),
    },
    target: outcome.target,
    level: prepared.level,
    ...(prepared.levelReason === undefined ? {} : { levelReason: prepared.levelReason }),
    devices: outcome.devices,
    equal,
    proven: equal && unproven.length === 0,
    unproven,
    compared: {
      reads: outcome.reads,
      writes: fed.writes,
      usedElements: used.elements,
      buffers: used.buffers,
      bufferBytes: used.bytes,
      interrupts: outcome.interrupts,
      memoryRecords: fed.memoryRecords,
      memoryBytes: fed.memoryBytes,
      disks: outcome.disks,
    },
    skipped: skippedFacts(outcome),
    racy: { elements: used.racy, differing: used.racyDiffering },
    ignored: policies.ignored,
    divergences: found.list,
    divergenceCount: found.count,
    ...(stopped === undefined ? {} : { stopped }),
    final: outcome.final,
    runs: [{ hash: outcome.hash, divergences: found.count, wallMs: outcome.wallMs }],
  };
}

function whyUnproven({ prepared, policies, used, next, recording, skipped }: Outcome): string[] {
  const why: string[] = [];
  if (prepared.levelReason !== undefined) why.push(prepared.levelReason);
  if (used.racy > 0) why.push(`${used.racy} chains may have changed while they were recorded (racy)`);
  if (skipped.unserved > 0) why.push('a device is of a type that nothing stands in for');
  if (next < recording.rows) why.push(`${recording.rows - next} records were not replayed`);
  for (const { policy, count } of policies.ignored)
    if (count > 0 && policy !== 'irq-position') why.push(`${count} differences ignored by policy ${policy}`);
  return why;
}

function skippedFacts({ skipped, prepared }: Outcome): ReplayResult['skipped'] {
  const other = prepared.unserved.map(({ transport, what }) => `${what} ${transport}`).join(', ');
  return [
    { what: 'accesses outside of any virtio-mmio device', count: skipped.outside },
    { what: `accesses to devices that nothing stands in for (${other})`, count: skipped.unserved },
    { what: 'records of unknown kinds', count: skipped.unknown },
    { what: 'notifies, which need guest memory', count: skipped.notifies },
    { what: 'reads of InterruptStatus, which need guest memory', count: skipped.status },
    { what: 'used and interrupt records that no replayed device has', count: skipped.memory },
    ...UNCHECKED_REASONS.map((why) => ({ what: UNCHECKED[why], count: skipped[why] })),
  ].filter(({ count }) => count > 0);
}

export function deviceFacts({ devices }: Prepared, names: readonly string[]): ReplayResult['devices'] {
  return devices.map(({ transport, kind, version, base, spi }) => ({
    transport,
    kind,
    name: names[transport]!,
    version,
    base,
    spi,
  }));
}

/** By transport: the name that the trace has for a device, or one made of its kind. */
export function slotNames({ named }: Recording, { devices }: Prepared): string[] {
  const names: string[] = [];
  for (const { transport, kind, base } of devices) {
    const given = named.find((device) => device.base === base)?.name;
    names[transport] = given ?? `${kind} ${transport}`;
  }
  return names;
}

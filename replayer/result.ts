import type { DeviceKind } from './target.ts';

export const REPLAY_FORMAT = 'ioreq-trace-replay';
export const REPLAY_VERSION = 1;

/**
 * How much of the recording was there to be compared. 'registers': it holds no guest memory (or hashes of it alone):
 * the devices are never notified, and what follows from a notify is not compared. 'rings and memory': all of it.
 */
export type ReplayLevel = 'registers' | 'rings and memory';

/** What differs, by the part of a device where it shows. */
export type DivergenceKind =
  /** A register read gave another value. */
  | 'register'
  /** A used element did not appear in time. */
  | 'missing'
  /** Its id or length, or the ring's index, is another one. */
  | 'used'
  /** What the device wrote into guest memory. */
  | 'memory'
  /** The order of an interrupt line's levels. */
  | 'interrupt'
  /** The disk at the end, against the image given. */
  | 'disk'
  /** Only over several runs: what was seen was not the same in each. */
  | 'run';

/** Bytes around the first that differs: `start` is that of both texts, in the unit of `at`. Hexadecimal. */
export interface ByteDifference {
  /** Guest-physical address of the buffer (memory), or 0 (disk). */
  gpa: number;
  /** Offset of the first byte that differs, and how many do, of `length`. */
  at: number;
  differing: number;
  length: number;
  /** Offset of the context's first byte. */
  start: number;
  expected: string;
  got: string;
}

export interface Divergence {
  /** Of the recording's record at which it was found. */
  step: number;
  kind: DivergenceKind;
  transport: number;
  /** 'blk 0', with the name of the trace if it has one. */
  device: string;
  register?: string;
  queue?: number;
  /** Used index of the element, and the head of its chain. */
  element?: number;
  id?: number;
  /** What exactly: 'value', 'id', 'len', 'index', 'level 3', 'byte 5'. */
  field: string;
  expected: string;
  got: string;
  memory?: ByteDifference;
  /** The guest may have changed the memory while it was recorded: it proves nothing. */
  racy?: true;
}

/** One policy that was given (or always holds), and how many differences it kept out. */
export interface Ignored {
  policy: string;
  why: string;
  count: number;
}

/** One replay. Counts are of what was compared, not of what was equal. */
export interface ReplayRunResult {
  /** SHA-256 of all that was observed: register answers, used elements, buffers, interrupts, what devices hold. */
  hash: string;
  divergences: number;
  wallMs: number;
}

/** The result document: stored as replay.json, printed by --json. */
export interface ReplayResult {
  format: typeof REPLAY_FORMAT;
  version: typeof REPLAY_VERSION;
  tool?: { name: string; version: string };
  /** RFC 3339, UTC. */
  created?: string;
  recording: {
    path?: string;
    source?: string;
    records: number;
    accesses: number;
    /** Of a trace that was not recorded for a replay: what its events lack (recording/load.ts). */
    events?: { source: string; holes: number; unknown: number; losses: number };
  };
  target: string;
  level: ReplayLevel;
  /** Why not more, in words. */
  levelReason?: string;
  devices: {
    transport: number;
    kind: DeviceKind;
    name: string;
    version: 1 | 2;
    base: number;
    spi: number;
  }[];
  equal: boolean;
  /** True if equal, everything was compared at the level 'rings and memory' and no chain was racy. */
  proven: boolean;
  /** Why it is not proven although equal; empty if it is. */
  unproven: string[];
  compared: {
    reads: number;
    writes: number;
    usedElements: number;
    buffers: number;
    bufferBytes: number;
    interrupts: number;
    memoryRecords: number;
    memoryBytes: number;
    disks: number;
  };
  /** Not replayed or not compared, by reason. */
  skipped: { what: string; count: number }[];
  racy: { elements: number; differing: number };
  ignored: Ignored[];
  /** The first ones in order; `divergenceCount` counts all. */
  divergences: Divergence[];
  divergenceCount: number;
  /** The replay ended before the recording: nothing came any more. */
  stopped?: { step: number; why: string };
  final: {
    disks: { transport: number; bytes: number; sha256: string; asGiven?: boolean }[];
    sent: { transport: number; frames: number; bytes: number; sha256: string }[];
    output: { transport: number; port: number; bytes: number; sha256: string; text: string }[];
    screens: { transport: number; width: number; height: number; sha256: string }[];
  };
  runs: ReplayRunResult[];
}

/**
 * What stands in for the recorded device models during a replay. One recording drives every target; the core
 * (replay.ts) compares, a target only does what it is told and tells what came of it.
 *
 *   start ── (setMemory* · read | write · used*)* ── flush ── final ── stop
 *
 * Calls that give nothing are taken in order and may be done later (a target may gather and pipeline them); what
 * they lead to goes to the sink, in the order of the calls. `flush`, `used`, `view` and `final` come after
 * everything before them. Each may reject with TraceError E_TARGET: the device model ended (with its last words), lacks a
 * device or did not answer in time. After `stop` (which may be called at any time, twice too) neither a process
 * nor a socket nor a file of the target is left.
 */
export interface ReplayTarget {
  /** For the result: 'built-in', 'QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)'. */
  readonly name: string;
  start(): void | Promise<void>;
  /** Puts bytes into guest memory; they count before the next access. `bytes` belongs to the caller. */
  setMemory(gpa: number, bytes: Uint8Array): void;
  /** The guest reads a register; the answer goes to ReplaySink.answer with this step. */
  read(step: number, address: number, size: number): void;
  /** The guest writes a register. Values of 8 bytes have their high word in `high`. */
  write(step: number, address: number, size: number, value: number, high?: number): void;
  /**
   * These used elements had appeared when the recording came to this step: makes happen what came from outside
   * the guest for them (frames, input, the order of completion) and waits until the device has used them.
   * Resolves to false if they did not appear within the time limit of the replay.
   */
  used(step: number, used: RecordedUsed): boolean | Promise<boolean>;
  /** Guest memory as it is now. The view may be live. */
  view(gpa: number, length: number): Uint8Array | Promise<Uint8Array>;
  /** Everything asked for so far is done and answered. Also asked for every so often, against endless queues. */
  flush(): void | Promise<void>;
  /** What the devices hold in the end. */
  final(): FinalState | Promise<FinalState>;
  /** Where a debugger finds the device model; undefined when it is this process. */
  readonly debuggee?: Debuggee;
  /** Present if it can go back to moments that were kept. */
  readonly checkpoints?: Checkpoints;
  stop(): void | Promise<void>;
}

/**
 * Moments of a replay that a target can go back to: everything behind its registers, guest memory and what its devices
 * hold. They are numbered by the caller. Called between a `flush` and the next access alone.
 */
export interface Checkpoints {
  /** Keeps what there is now, as of moment `at`, which is later than all moments kept. */
  take(at: number): void;
  /** Goes back to a moment that is kept; later ones stay, and are met again. */
  back(at: number): void;
  /** Forgets all but these; rising, the latest one taken among them. */
  keep(moments: readonly number[]): void;
  /** What is kept takes about so many bytes. */
  readonly bytes: number;
}

export type MakeTarget = (setup: ReplaySetup, sink: ReplaySink) => ReplayTarget;

/** Where a target reports. Called in the order of the calls that led there. */
export interface ReplaySink {
  /** What a register read gave; `high` is 0 unless it had 8 bytes. */
  answer(step: number, value: number, high: number): void;
  /** A device changed its interrupt line. `step` is the access during or after which it was noticed. */
  line(step: number, transport: number, level: 0 | 1): void;
}

export type DeviceKind = 'blk' | 'net' | 'console' | 'gpu';

/** One device of the recording, as its target must make it. */
export interface DevicePlan {
  /** Slot number in the recording: N and U records name it. */
  transport: number;
  kind: DeviceKind;
  deviceId: number;
  /** The Version register: 1 = legacy, 2 = modern. */
  version: 1 | 2;
  /** Guest-physical address of its register window as recorded. */
  base: number;
  spi: number;
  /** What the device offered, as far as the recording shows it; undefined: what the target offers by itself. */
  offered?: readonly [low: number, high: number];
  /** Largest size of a queue (QueueNumMax), as the recording shows it. */
  queueNumMax?: number;
  /** Bytes of the configuration space that the recording shows at their place, with a mask of those seen. */
  config?: { bytes: Uint8Array; seen: Uint8Array };
  /** blk: the disk as it was at the start; a target may change `bytes` (they are its own copy). */
  disk?: { bytes: Uint8Array; readOnly: boolean; serial: string };
  /** net: from the configuration space. */
  mac?: Uint8Array;
  /** console: ports of a multiport device; 1 without that feature. */
  ports?: number;
  /** console: what the device told of its ports, where the recording shows it. `connected`: open at the other end when the driver first asked. */
  portList?: readonly { id: number; console: boolean; name: string; connected?: boolean }[];
  /**
   * console: of a device that never told of its ports (its driver had asked before the recording began), those whose
   * queues are used. `opened`: the driver was seen opening it before input came.
   */
  portsInUse?: readonly { id: number; opened: boolean }[];
  /** gpu: what the display said of itself. */
  edid?: Uint8Array;
}

/** What the recording needs of whoever plays it. */
export interface ReplaySetup {
  devices: readonly DevicePlan[];
  /** Guest RAM that the recording touches, rounded to whole MiB, sorted, not overlapping. Bytes. */
  ram: readonly { base: number; length: number }[];
  /** How long to wait for a used element or an answer before it counts as missing. Milliseconds. */
  timeoutMs: number;
  /** Whether the caller wants to go back in it: targets that can then have `checkpoints`. */
  checkpoints?: boolean;
  /** Differences that are not to count (compare/policy.ts): what a target lacks may be among them. */
  ignore?: readonly string[];
}

/** Bytes that the recorded device wrote into a guest's buffer. */
export interface RecordedBuffer {
  gpa: number;
  bytes: Uint8Array;
}

export interface RecordedElement {
  /** Head of the descriptor chain. */
  id: number;
  /** Bytes that the device says it wrote. */
  len: number;
  buffers: readonly RecordedBuffer[];
  /** blk: type and first sector of the request. */
  request?: { type: number; sector: number };
  /** Packed rings: position in the ring at which its used descriptor was written. */
  at?: number;
  /** Instead of `buffers`, where bytes were not to be kept: their SHA-256, hexadecimal. */
  sha?: readonly { gpa: number; length: number; sha256: string }[];
  /** The memory of this chain may have changed while it was copied: a difference in it proves nothing. */
  racy: boolean;
}

/** Used elements of one queue that had appeared by one step, in the order of the ring. */
export interface RecordedUsed {
  transport: number;
  queue: number;
  /** Guest-physical address of the used ring, its index after these elements, entries of the queue. */
  ring: number;
  index: number;
  size: number;
  elements: readonly RecordedElement[];
  /** A packed ring: `ring` is that of the descriptors, `index` the next used position with the wrap counter in bit 15. */
  packed?: boolean;
}

export interface FinalState {
  /** By transport. Frames in the order in which the device sent them. */
  disks: ReadonlyMap<number, Uint8Array>;
  sent: ReadonlyMap<number, readonly Uint8Array[]>;
  /** Console output by transport: one stream a port. */
  output: ReadonlyMap<number, readonly Uint8Array[]>;
  /** gpu: the first scanout as it is shown. RGB, 3 bytes a pixel. */
  screens: ReadonlyMap<number, { width: number; height: number; rgb: Uint8Array }>;
}

export interface Debuggee {
  pid: number;
  /** The line that attaches gdb, with breakpoints worth having. */
  attach: string;
}

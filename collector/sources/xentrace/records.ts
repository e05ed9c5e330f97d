import { K } from '../../../trace/events.ts';

/**
 * Record ids of xentrace and how each one is laid out. Sources: xen/include/public/trace.h (4.17 to 4.20
 * alike), xen/common/sched/core.c; class HVM subclass 0x00088000 is the Arm trace-point patch.
 *
 * A header word: bits 0-27 id, 28-30 number of extra u32 words, bit 31 a u64 timestamp follows. In the id,
 * bits 16-27 are the class, exactly one bit of them, as classes are masks.
 */
export const LOST_RECORDS = 0x1f001;
export const WRAP_BUFFER = 0x1f002;
export const CPU_CHANGE = 0x1f003;

/** How a record's words become columns; see lane.ts. OTHER must stay 0: it is what unlisted ids get. */
export const OP = {
  OTHER: 0,
  /** One word: vcpu low half, domid high half. */
  DOM_VCPU_WORD: 1,
  DOM: 2,
  DOM_VCPU: 3,
  DOM_VCPU_1: 4,
  DOM_VCPU_2: 5,
  SWITCH: 6,
  LOST: 7,
  /** Padding up to the ring's end: counted, no row. */
  WRAP: 8,
  ARM_ABORT: 9,
  ARM_RESUME: 10,
  ARM_SEND: 11,
  ARM_DONE: 12,
  ARM_VIRQ_3: 13,
  ARM_VIRQ_2: 14,
  /** cpu_change: never inside a window. */
  FOREIGN: 15,
} as const;

export interface KnownRecord {
  readonly id: number;
  /** As in tools/xentrace/formats, where it has the record. */
  readonly name: string;
  readonly op: number;
  readonly kind: number;
  /** Extra words it must have. More are allowed: junk tails of Xen 4.17 and older. */
  readonly words: number;
  readonly old: number;
  readonly next: number;
}

const known: KnownRecord[] = [];

function add(id: number, name: string, op: number, kind: number, words: number, old = 0, next = 0): void {
  known.push({ id, name, op, kind, words, old, next });
}

// Position 0 stands for every id that is not listed.
add(0, 'other', OP.OTHER, K.XEN_OTHER, 0);
add(LOST_RECORDS, 'lost_records', OP.LOST, K.XEN_LOST, 4);
add(WRAP_BUFFER, 'wrap_buffer', OP.WRAP, 0, 0);
add(CPU_CHANGE, 'cpu_change', OP.FOREIGN, 0, 2);

const STATES = ['running', 'runnable', 'blocked', 'offline'];
STATES.forEach((from, old) => {
  STATES.forEach((to, next) => {
    const id = 0x21001 | (old << 8) | (next << 4);
    add(id, `${from}_to_${to}`, OP.DOM_VCPU_WORD, K.XEN_RUNSTATE, 1, old, next);
  });
});
add(0x21002, 'continue_running', OP.DOM_VCPU_WORD, K.XEN_CONTINUE_RUNNING, 1);
add(0x28001, 'sched_add_domain', OP.DOM, K.XEN_DOM_ADD, 1);
add(0x28002, 'sched_rem_domain', OP.DOM, K.XEN_DOM_REM, 1);
add(0x28003, 'domain_sleep', OP.DOM_VCPU, K.XEN_SLEEP, 2);
add(0x28004, 'domain_wake', OP.DOM_VCPU, K.XEN_WAKE, 2);
add(0x28005, 'do_yield', OP.DOM_VCPU, K.XEN_YIELD, 2);
add(0x28006, 'do_block', OP.DOM_VCPU, K.XEN_BLOCK, 2);
add(0x28007, 'domain_shutdown', OP.DOM_VCPU_1, K.XEN_SHUTDOWN, 3);
add(0x28009, 'sched_adjdom', OP.DOM, K.XEN_ADJDOM, 1);
add(0x2800a, '__enter_scheduler', OP.SWITCH, K.XEN_SWITCH, 4);
add(0x2800e, 'switch_infprev', OP.DOM_VCPU_1, K.XEN_SWITCH_INFPREV, 3);
add(0x2800f, 'switch_infnext', OP.DOM_VCPU_2, K.XEN_SWITCH_INFNEXT, 4);
add(0x28010, 'domain_shutdown_code', OP.DOM_VCPU_1, K.XEN_SHUTDOWN_CODE, 3);
add(0x28011, 'switch_infcont', OP.DOM_VCPU_2, K.XEN_SWITCH_INFCONT, 4);
add(0x88001, 'arm_s2_abort', OP.ARM_ABORT, K.ARM_S2_ABORT, 6);
add(0x88002, 'arm_s2_resume', OP.ARM_RESUME, K.ARM_S2_RESUME, 3);
add(0x88003, 'arm_ioreq_send', OP.ARM_SEND, K.ARM_IOREQ_SEND, 7);
add(0x88004, 'arm_ioreq_done', OP.ARM_DONE, K.ARM_IOREQ_DONE, 4);
add(0x88005, 'arm_virq_inject', OP.ARM_VIRQ_3, K.ARM_VIRQ_INJECT, 4);
add(0x88006, 'arm_virq_lr', OP.ARM_VIRQ_2, K.ARM_VIRQ_LR, 3);
add(0x88007, 'arm_virq_active', OP.ARM_VIRQ_2, K.ARM_VIRQ_ACTIVE, 3);
add(0x88008, 'arm_virq_merged', OP.ARM_VIRQ_2, K.ARM_VIRQ_MERGED, 3);
add(0x88009, 'arm_virq_retired', OP.ARM_VIRQ_2, K.ARM_VIRQ_RETIRED, 3);
// Laid out as a resume: a 64-bit value after word 0. Word 0 names no vCPU (0xffff): the offset is the domain's.
add(0x8800a, 'arm_cntvoff', OP.ARM_RESUME, K.ARM_CNTVOFF, 3);

export const KNOWN: readonly KnownRecord[] = known;

/** Ids by `hash`, and what the decoding loop needs of each: one small table of each, no object. */
const HASH_BITS = 10;
export const HASH_SHIFT = 32 - HASH_BITS;
/** The first odd multiplier that gives every known id a place of its own. */
export const HASH_MULTIPLIER = findMultiplier();
/** Id at each place; -1 where there is none. */
export const ID_AT = new Int32Array(1 << HASH_BITS).fill(-1);
/**
 * At the same place: position in KNOWN, op << 8, least number of words << 12, kind << 16, old state << 24, new
 * state << 28. What is no row (WRAP) or must not be there (FOREIGN) wants more words than any record has: one
 * comparison finds these and records that are too short.
 */
export const INFO_AT = new Int32Array(1 << HASH_BITS);

known.forEach((record, position) => {
  if (position === 0) return;
  const place = hash(record.id, HASH_MULTIPLIER);
  const states = (record.old << 24) | (record.next << 28);
  ID_AT[place] = record.id;
  const words = record.op === OP.FOREIGN || record.op === OP.WRAP ? 8 : record.words;
  INFO_AT[place] = position | (record.op << 8) | (words << 12) | (record.kind << 16) | states;
});

function hash(id: number, multiplier: number): number {
  return Math.imul(id, multiplier) >>> HASH_SHIFT;
}

function findMultiplier(): number {
  for (let multiplier = 0x9e3779b1; ; multiplier += 2) {
    const places = new Set(known.map((record) => hash(record.id, multiplier)));
    if (places.size === known.length) return multiplier | 0;
  }
}

/** As in INFO_AT, for an id that is not there. */
export const OTHER_INFO = OP.OTHER | (K.XEN_OTHER << 16);

export function infoOf(id: number): number {
  const place = hash(id, HASH_MULTIPLIER);
  return ID_AT[place] === id ? INFO_AT[place]! : OTHER_INFO;
}

/** Whether an id has exactly one class bit, as every id of Xen has. */
export function hasOneClass(id: number): boolean {
  const cls = (id >>> 16) & 0xfff;
  return cls !== 0 && (cls & (cls - 1)) === 0;
}

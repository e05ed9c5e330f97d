import { TraceError } from '../../trace/errors.ts';
import { DIR_READ, ioreqDir, ioreqSize } from '../../trace/ioreq.ts';
import type { Manifest } from '../../trace/manifest.ts';
import { REC_TAG, RecordingBatch } from '../../trace/recording.ts';
import { REG_INTERRUPT_STATUS, VIRTIO_MMIO_WINDOW } from '../../trace/virtio-mmio.ts';
import { KnownState } from './known-state.ts';
import type { EventFacts } from './load.ts';
import { Recording } from './load.ts';
import { planDevices } from './plan.ts';
import type { SlotLayout } from './slots.ts';
import { layoutAt, slotAt } from './slots.ts';
import type { Unchecked } from './unchecked.ts';
import { UNCHECKED, UNCHECKED_REASONS, uncheckedText } from './unchecked.ts';

/** Accesses of an ordinary trace in the order of their service (analyzer/accesses.ts); columns as there. */
export interface AccessRows {
  readonly source: string;
  readonly length: number;
  readonly addr: Uint32Array;
  readonly value: Uint32Array;
  /** trace/ioreq.ts: size and direction; 0 where the content is not known. */
  readonly info: Uint32Array;
  readonly vcpu: Uint16Array;
  /** 1: accesses are missing before this one, or its own content is not known. */
  readonly hole: Uint8Array;
  readonly unknown: number;
  readonly losses: number;
}

/** By bytes of an access: what of a value counts. */
const MASK = new Uint32Array([0, 0xff, 0xffff, 0, 0xffff_ffff, 0, 0, 0, 0xffff_ffff]);

/**
 * A recording of register accesses without guest memory, from a trace that was not recorded for a replay. Step n is the
 * n-th ioreq of the trace, from 0. Reads whose answers do not follow from what the trace holds are marked
 * (unchecked.ts). Behind a loss all devices are unknown until their drivers reset them.
 *
 * Throws E_NOT_REPLAYABLE if there is no access to a device that can be replayed, or not one answer to be checked.
 */
export function fromEvents(rows: AccessRows, named: Manifest['devices']): Recording {
  const batches: RecordingBatch[] = [];
  let batch: RecordingBatch | undefined;
  const states = new Map<number, KnownState>();
  const marked = new Map<Unchecked, number>();
  const checkable = new Map<number, number>();
  let [holes, statusReads] = [0, 0];
  let layout: SlotLayout | undefined;
  for (let n = 0; n < rows.length; n++) {
    if (rows.hole[n] === 1) {
      holes++;
      for (const state of states.values()) state.hole();
    }
    const info = rows.info[n]!;
    const size = ioreqSize(info);
    if (MASK[size] === undefined || MASK[size] === 0) continue;
    if (batch?.full !== false) batches.push((batch = new RecordingBatch()));
    const read = ioreqDir(info) === DIR_READ;
    const address = rows.addr[2 * n]! + rows.addr[2 * n + 1]! * 0x1_0000_0000;
    const value = (rows.value[n]! & MASK[size]) >>> 0;
    layout ??= layoutAt(address);
    const slot = layout === undefined ? undefined : slotAt(layout, address);
    let why: Unchecked | undefined;
    if (slot !== undefined) {
      const offset = address - layout!.base - slot * VIRTIO_MMIO_WINDOW;
      let state = states.get(slot);
      if (state === undefined) states.set(slot, (state = new KnownState(holes > 0)));
      if (!read) state.write(offset, value);
      else {
        why = state.read(offset, size, value);
        if (why !== undefined) marked.set(why, (marked.get(why) ?? 0) + 1);
        else if (offset === REG_INTERRUPT_STATUS) statusReads++;
        else checkable.set(slot, (checkable.get(slot) ?? 0) + 1);
      }
    }
    const i = batch.push(read ? REC_TAG.READ : REC_TAG.WRITE, n, uncheckedText(why));
    batch.addr[2 * i] = rows.addr[2 * n]!;
    batch.addr[2 * i + 1] = rows.addr[2 * n + 1]!;
    batch.size[i] = size;
    batch.value[2 * i] = value;
    batch.vcpu[i] = rows.vcpu[n]!;
  }
  if (rows.length > 0 && 2 * rows.unknown > rows.length)
    throw new TraceError('E_NOT_REPLAYABLE', 'the trace does not tell what devices answered', {
      source: rows.source,
      expected: 'contents of ioreqs, as the hook ioreq of trace record has them',
      got: `${rows.unknown} of ${rows.length} ioreqs without`,
    });
  const facts: EventFacts = { source: rows.source, holes, unknown: rows.unknown, losses: rows.losses };
  const recording = new Recording(batches, named, facts);
  const { devices } = planDevices(recording);
  if (!devices.some(({ transport }) => checkable.has(transport))) {
    const got = UNCHECKED_REASONS.filter((why) => marked.has(why)).map(
      (why) => `${marked.get(why)!} ${UNCHECKED[why]}`,
    );
    if (statusReads > 0) got.unshift(`${statusReads} reads of InterruptStatus`);
    throw new TraceError(
      'E_NOT_REPLAYABLE',
      'no register answer of the trace can be checked without guest memory',
      {
        source: rows.source,
        expected: 'a driver that sets up its device while it is traced, or a recording made with --memory',
        got: got.join('; ') || 'no read',
      },
    );
  }
  return recording;
}

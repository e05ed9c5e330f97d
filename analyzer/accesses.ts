import { K } from '../trace/events.ts';
import { DIR_READ, IOREQ_TYPE, ioreqDir, ioreqIsPtr, ioreqType } from '../trace/ioreq.ts';
import { SPAN_FLAG } from '../trace/spans.ts';
import { logContents } from './chosen-log.ts';
import { SETTLE_NS, wantedDevices } from './dom0-side.ts';
import { keptFindings } from './findings.ts';
import { DeviceMap } from './passes/device-map.ts';
import { Dom0Ioreqs } from './passes/dom0-ioreqs.ts';
import { D } from './passes/dom0-record.ts';
import { RecordQueue } from './passes/record-queue.ts';
import type { Scouted } from './scout.ts';
import { scout } from './scout.ts';
import { RowsLane, walk } from './streams.ts';
import type { TraceView } from './view.ts';
import { streamOf, timedStreams } from './view.ts';

/** Fields of an access while they are gathered: D's of the same names, whether one is missing before it, its vCPU. */
const A = { SEQ: 0, LO: 1, HI: 2, DATA: 3, INFO: 4, START: 5, END: 6, VCPU: 7 } as const;
const WIDTH = 8;

/** What guests did to their devices, one row an ioreq, in the order in which the device models served them. */
export interface Accesses {
  /** Source of the trace that they are from. */
  source: string;
  length: number;
  /** Guest physical addresses, two u32 halves each. */
  addr: Uint32Array;
  /** What was written, or answered: the low 32 bits. */
  value: Uint32Array;
  /** trace/ioreq.ts: size, direction. */
  info: Uint32Array;
  vcpu: Uint16Array;
  /** 1: ioreqs are missing right before this one, or its own content is not known (`info` is 0 then). */
  hole: Uint8Array;
  /** Ioreqs whose content the trace does not hold; stretches in which records were lost. */
  unknown: number;
  losses: number;
}

/**
 * The accesses of an ordinary trace: from Dom0's events where they hold the contents of ioreqs, or the device model's
 * log. undefined if neither does. All of them are in memory then, 15 bytes each.
 */
export function accessesOf(view: TraceView): Accesses | undefined {
  const { manifest } = view;
  const { xen, dom0, xenFacts, dom0Facts } = timedStreams(view);
  if (dom0 !== undefined && dom0Facts !== undefined) {
    const scouted =
      keptFindings(manifest, xen, dom0) ?? scout(manifest, xen, dom0, BigInt(xenFacts?.clock.epoch ?? '0'));
    const log = logContents(view, dom0Facts, scouted);
    const devices = new DeviceMap(manifest.devices);
    const wanted = wantedDevices(manifest, devices);
    const store = new RecordQueue(WIDTH);
    const ioreqs = new Dom0Ioreqs(
      scouted.vcpus,
      scouted,
      (vcpu, record, at) => {
        take(record, at, vcpu, store);
      },
      undefined,
      log,
      wanted,
    );
    const rows = new RowsLane(dom0, (batch, { scale, shift }, from, to) => {
      for (let i = from; i < to; i++) {
        // Of another domain's ioreqs nothing is known: `row` looks at ports and threads of this one alone.
        ioreqs.now[0] = batch.ts[i]! * scale + shift;
        ioreqs.row(batch, i, batch.kind[i]!);
      }
    });
    walk([rows], (watermark) => {
      if (watermark === Infinity) ioreqs.finish();
      else ioreqs.settle(watermark - SETTLE_NS);
    });
    log?.close();
    const found = ordered(store, scouted, dom0Facts.id);
    if (found.length > found.unknown) return found;
  }
  const logged = manifest.sources.find(({ kinds }) => (kinds['dm.ioreq'] ?? 0) > 0);
  return logged === undefined ? undefined : fromLog(view, logged.id);
}

const ANSWERED = new Float64Array(WIDTH);

function take(record: Float64Array, at: number, vcpu: number, store: RecordQueue): void {
  const inKernel = (record[at + D.FLAGS]! & SPAN_FLAG.KERNEL) !== 0;
  // Kernel handlers answer kicks alone: without content there is nothing missing that a register would show.
  if (inKernel && Number.isNaN(record[at + D.INFO]!)) return;
  ANSWERED[A.SEQ] = record[at + D.SEQ]!;
  ANSWERED[A.LO] = record[at + D.ADDR_LO]!;
  ANSWERED[A.HI] = record[at + D.ADDR_HI]!;
  ANSWERED[A.DATA] = record[at + D.DATA_LO]!;
  ANSWERED[A.INFO] = record[at + D.INFO]!;
  ANSWERED[A.START] = record[at + D.START]!;
  ANSWERED[A.END] = record[at + D.END]!;
  ANSWERED[A.VCPU] = vcpu;
  store.push(ANSWERED);
}

function ordered(store: RecordQueue, { dom0Losses }: Scouted, source: string): Accesses {
  const found = empty(source, store.length, dom0Losses.count);
  const { values } = store;
  const order = Uint32Array.from({ length: store.length }, (_, n) => store.offset(n));
  order.sort((a, b) => values[a + A.SEQ]! - values[b + A.SEQ]!);
  let before = -Infinity;
  for (const at of order) {
    const end = values[at + A.END]!;
    const lost = found.losses > 0 && dom0Losses.touches(Math.min(before, values[at + A.START]!), end);
    add(found, values, at, lost);
    before = end;
  }
  return found;
}

/** A log tells of one ioreq after the other: what is asked, and of a read what was answered. */
function fromLog(view: TraceView, source: string): Accesses {
  const store = new RecordQueue(WIDTH);
  const row = new Float64Array(WIDTH);
  let open = false;
  const close = (): void => {
    if (open) store.push(row);
    open = false;
  };
  for (const batch of streamOf(view, source)) {
    for (let i = 0; i < batch.length; i++) {
      const kind = batch.kind[i];
      if (kind === K.DM_IOREQ) {
        close();
        open = true;
        row[A.LO] = batch.addr[2 * i]!;
        row[A.HI] = batch.addr[2 * i + 1]!;
        row[A.INFO] = batch.arg0[i]!;
        row[A.DATA] = ioreqDir(batch.arg0[i]!) === DIR_READ ? NaN : batch.data[2 * i]!;
      } else if (kind === K.DM_IOREQ_READ_DONE && open) row[A.DATA] = batch.data[2 * i]!;
    }
  }
  close();
  const found = empty(source, store.length, 0);
  for (let n = 0; n < store.length; n++) add(found, store.values, store.offset(n), false);
  return found;
}

function empty(source: string, length: number, losses: number): Accesses {
  return {
    source,
    length: 0,
    addr: new Uint32Array(2 * length),
    value: new Uint32Array(length),
    info: new Uint32Array(length),
    vcpu: new Uint16Array(length),
    hole: new Uint8Array(length),
    unknown: 0,
    losses,
  };
}

function add(found: Accesses, values: Float64Array, at: number, lost: boolean): void {
  const n = found.length;
  const info = values[at + A.INFO]!;
  const type = ioreqType(info);
  // Anything else than memory-mapped registers does not concern them.
  if (!Number.isNaN(info) && type !== IOREQ_TYPE.COPY) return;
  found.length++;
  found.vcpu[n] = values[at + A.VCPU]!;
  found.hole[n] = lost ? 1 : 0;
  if (Number.isNaN(info) || ioreqIsPtr(info) === 1 || Number.isNaN(values[at + A.DATA]!)) {
    found.unknown++;
    found.hole[n] = 1;
    return;
  }
  found.addr[2 * n] = values[at + A.LO]!;
  found.addr[2 * n + 1] = values[at + A.HI]!;
  found.value[n] = values[at + A.DATA]!;
  found.info[n] = info;
}

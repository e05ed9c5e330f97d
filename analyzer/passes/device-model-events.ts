import type { AxisLine } from '../../trace/axis.ts';
import type { EventColumns } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';
import { NO_DEVICE } from '../../trace/spans.ts';
import type { DeviceMap } from './device-map.ts';
import type { Dom0Ioreqs } from './dom0-ioreqs.ts';
import { IOREQ_KINDS } from './dom0-ioreqs.ts';
import type { TapeWriter } from './dom0-tape.ts';
import { TAPE } from './dom0-tape.ts';
import { HeldColumns } from './held-columns.ts';
import type { Requests } from './requests.ts';

// Module constants: a loop over events must not look a property up for every row.
const { DM_BLK_DONE, DM_NOTIFY, DM_QUEUE_NOTIFY, DM_SET_IRQ, DM_SET_STATUS, DOM0_IRQFD, DOM0_SET_IRQ_LEVEL } =
  K;

/** 1 for the kinds that a pass looks at. Kinds are below 400 (events.ts); the mask keeps the index inside. */
const KIND_MASK = 511;
const WANTED = new Uint8Array(KIND_MASK + 1);
WANTED.fill(1, DM_QUEUE_NOTIFY, DM_BLK_DONE + 1);
for (const k of [...IOREQ_KINDS, DM_SET_IRQ, DOM0_IRQFD, DOM0_SET_IRQ_LEVEL]) WANTED[k] = 1;
const SELECT_ROWS = 1024;

/** Dom0's rows, dealt to the passes in one loop because each needs what the one before just learned. */
export class DeviceModelEvents {
  private readonly domid: number | undefined;
  private readonly devices: DeviceMap;
  private readonly ioreqs: Dom0Ioreqs;
  private readonly requests: Requests;
  private readonly tape: TapeWriter;
  private readonly deviceOfSpi: Int32Array;
  /** Without dm_op probes the device model's own trace tells of raises. */
  private readonly raisesFromTrace: boolean;
  private notifying: number = NO_DEVICE;
  private readonly held = new HeldColumns();
  /** Scratch of `select`. */
  private readonly wanted = new Int32Array(SELECT_ROWS);

  constructor(options: {
    domid: number | undefined;
    devices: DeviceMap;
    ioreqs: Dom0Ioreqs;
    requests: Requests;
    /** Told of raises. */
    tape: TapeWriter;
    raisesFromTrace: boolean;
  }) {
    const { devices } = options;
    this.domid = options.domid;
    this.raisesFromTrace = options.raisesFromTrace;
    this.devices = devices;
    this.ioreqs = options.ioreqs;
    this.requests = options.requests;
    this.tape = options.tape;
    this.deviceOfSpi = Int32Array.from({ length: 1024 }, (_, spi) => devices.bySpi(spi));
  }

  rows(source: EventColumns, line: AxisLine, from: number, to: number): void {
    const { scale, shift } = line;
    const { wanted: rows, held: batch } = this;
    batch.hold(source);
    const { ts, kind } = batch;
    const { now } = this.ioreqs;
    let begin = from;
    while (begin < to) {
      const end = Math.min(to, begin + rows.length);
      const n = this.select(kind, begin, end);
      begin = end;
      for (let r = 0; r < n; r++) {
        const i = rows[r]!;
        const k = kind[i]!;
        const t = ts[i]! * scale + shift;
        if (k === DOM0_SET_IRQ_LEVEL || k === DOM0_IRQFD) {
          if (this.domid !== undefined && batch.domid[i] !== this.domid) continue;
          const spi = batch.arg0[i]!;
          if (batch.arg1[i] !== 1 || spi >= this.deviceOfSpi.length) continue;
          this.raised(this.deviceOfSpi[spi]!, t, k === DOM0_IRQFD);
        } else if (k === DM_SET_IRQ) {
          if (!this.raisesFromTrace || batch.arg1[i] !== 1) continue;
          const spi = batch.arg0[i]!;
          const known = spi > 0 && spi < this.deviceOfSpi.length;
          this.raised(known ? this.deviceOfSpi[spi]! : this.notifying, t, false);
        } else if (k === DM_SET_STATUS) this.setStatus(batch, i);
        else if (k >= DM_QUEUE_NOTIFY && k <= DM_BLK_DONE) {
          if (k === DM_NOTIFY) {
            this.notifying = this.requests.deviceOf(batch.addr[2 * i]!, batch.addr[2 * i + 1]!);
          }
          this.requests.event(batch, i, t);
        } else {
          now[0] = t;
          this.ioreqs.row(batch, i, k);
        }
      }
    }
  }

  /** Indices of the rows that a pass looks at, into `wanted`; without a branch, as in HypervisorEvents. */
  private select(kind: Uint16Array, begin: number, end: number): number {
    const { wanted } = this;
    let n = 0;
    for (let i = begin; i < end; i++) {
      wanted[n] = i;
      n += WANTED[kind[i]! & KIND_MASK]!;
    }
    return n;
  }

  private raised(device: number, t: number, inKernel: boolean): void {
    if (device === NO_DEVICE) return;
    const { tape } = this;
    const at = tape.reserve(TAPE.RAISE);
    tape.values[at + 1] = device;
    tape.values[at + 2] = t;
    tape.values[at + 3] = inKernel ? 1 : 0;
    this.requests.raised(device, t);
  }

  private setStatus(batch: EventColumns, i: number): void {
    const address = this.ioreqs.addressAt(batch.pid[i]!);
    if (Number.isNaN(address)) return;
    const device = this.devices.find(address);
    if (device !== NO_DEVICE) this.requests.tie(batch.addr[2 * i]!, batch.addr[2 * i + 1]!, device);
  }
}

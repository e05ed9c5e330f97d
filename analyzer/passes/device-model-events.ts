import type { AxisLine } from '../../trace/axis.ts';
import type { EventColumns } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';
import { NO_DEVICE } from '../../trace/spans.ts';
import type { DeviceMap } from './device-map.ts';
import type { Dom0Ioreqs } from './dom0-ioreqs.ts';
import type { Interrupts } from './interrupts.ts';
import type { Requests } from './requests.ts';

// Module constants: a loop over events must not look a property up for every row.
const { DM_BLK_DONE, DM_NOTIFY, DM_QUEUE_NOTIFY, DM_SET_IRQ, DM_SET_STATUS, DOM0_IRQFD, DOM0_SET_IRQ_LEVEL } =
  K;

/** Dom0's rows, dealt to the passes in one loop because each needs what the one before just learned. */
export class DeviceModelEvents {
  private readonly domid: number | undefined;
  private readonly devices: DeviceMap;
  private readonly ioreqs: Dom0Ioreqs;
  private readonly interrupts: Interrupts;
  private readonly requests: Requests;
  private readonly deviceOfSpi: Int32Array;
  /** Without dm_op probes the device model's own trace tells of raises. */
  private readonly raisesFromTrace: boolean;
  private notifying: number = NO_DEVICE;

  constructor(
    domid: number | undefined,
    devices: DeviceMap,
    ioreqs: Dom0Ioreqs,
    interrupts: Interrupts,
    requests: Requests,
    raisesFromTrace: boolean,
  ) {
    this.domid = domid;
    this.raisesFromTrace = raisesFromTrace;
    this.devices = devices;
    this.ioreqs = ioreqs;
    this.interrupts = interrupts;
    this.requests = requests;
    this.deviceOfSpi = Int32Array.from({ length: 1024 }, (_, spi) => devices.bySpi(spi));
  }

  rows(batch: EventColumns, line: AxisLine, from: number, to: number): void {
    const { ts } = batch;
    const { scale, shift } = line;
    const { kind, arg0, arg1 } = batch;
    let begin = from;
    for (let i = from; i < to; i++) {
      const k = kind[i]!;
      if (k === DOM0_SET_IRQ_LEVEL || k === DOM0_IRQFD) {
        const spi = arg0[i]!;
        const ours = this.domid === undefined || batch.domid[i] === this.domid;
        if (!ours || arg1[i] !== 1 || spi >= this.deviceOfSpi.length) continue;
        this.raised(this.deviceOfSpi[spi]!, ts[i]! * scale + shift, k === DOM0_IRQFD);
      } else if (k === DM_SET_IRQ) {
        if (!this.raisesFromTrace || arg1[i] !== 1) continue;
        const spi = arg0[i]!;
        this.raised(
          spi > 0 && spi < this.deviceOfSpi.length ? this.deviceOfSpi[spi]! : this.notifying,
          ts[i]! * scale + shift,
          false,
        );
      } else if (k >= DM_QUEUE_NOTIFY && k <= DM_BLK_DONE) {
        // The ioreqs up to here tell which one the device model is serving.
        this.ioreqs.rows(batch, line, begin, i);
        begin = i;
        if (k === DM_SET_STATUS) this.setStatus(batch, i);
        else {
          if (k === DM_NOTIFY) {
            this.notifying = this.requests.deviceOf(batch.addr[2 * i]!, batch.addr[2 * i + 1]!);
          }
          this.requests.event(batch, i, ts[i]! * scale + shift);
        }
      }
    }
    this.ioreqs.rows(batch, line, begin, to);
  }

  private raised(device: number, t: number, inKernel: boolean): void {
    if (device === NO_DEVICE) return;
    this.interrupts.raise(device, t, inKernel);
    this.requests.raised(device, t);
  }

  private setStatus(batch: EventColumns, i: number): void {
    const address = this.ioreqs.addressAt(batch.pid[i]!);
    if (Number.isNaN(address)) return;
    const device = this.devices.find(address);
    if (device !== NO_DEVICE) this.requests.tie(batch.addr[2 * i]!, batch.addr[2 * i + 1]!, device);
  }
}

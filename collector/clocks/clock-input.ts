import type { EventColumns } from '../../trace/columns.ts';

/** The two event streams whose clocks are to be related. */
export interface ClockInput {
  /** `batches` starts anew at every call. `hz`: the frequency that turns Xen's ticks into seconds. */
  xen: { batches(): Iterable<EventColumns>; epoch: bigint; hz: number; id: string };
  dom0: {
    batches(): Iterable<EventColumns>;
    epoch: bigint;
    clockName: string;
    strings: readonly string[];
    id: string;
    /** Unit of ts and epoch; text traces hold microseconds. */
    unit?: 'ns' | 'us';
  };
  /** The traced domain; if undefined, the one that waits most for a device model. */
  domid: number | undefined;
}

/** Fields of one ioreq as Dom0 and the device model saw it; times in trace-axis ns, NaN where not seen. */
export const D = {
  IRQ: 0,
  READ: 1,
  SERVICE: 2,
  ANSWER: 3,
  START: 4,
  END: 5,
  ADDR_LO: 6,
  ADDR_HI: 7,
  DATA_LO: 8,
  INFO: 9,
  FLAGS: 10,
  /** Running number over the domain, in the order in which the device model takes them up. */
  SEQ: 11,
  PID: 12,
} as const;
export const D_WIDTH = 13;

export interface Dom0Counts {
  /** Event-channel interrupts on the device model's ioreq ports. */
  interrupts: number;
  /** Answers: EVTCHN_NOTIFY by the device model on those ports, and kicks answered in the kernel. */
  answers: number;
  /** Of `answers`: kicks that the kernel answered (ioeventfd). The device model sees nothing of them. */
  inKernel: number;
  /** Of `answers`: those by threads whose own trace is in the same buffers; each must be `serviced`. */
  traced: number;
  /** Ioreqs in the device model's own trace (handle_ioreq). */
  serviced: number;
  /** Ioreqs whose content was fetched from the ioreq page at the answer (state RESP_READY). */
  fetched: number;
  /** Fetched slots whose state was not what it must be. */
  wrongState: number;
  cut: number;
  /** Left out of all of these: ioreqs of devices that were not to be recorded (--device). */
  elsewhere: number;
}

/** What the scout found out about the device model: see scout.ts. */
export interface IoreqPorts {
  /** Thread ids that answer ioreqs. */
  pids: readonly number[];
  /** Local event-channel ports of ioreqs and the vCPU each stands for. */
  vcpuOfPort: ReadonlyMap<number, number>;
}

/** Called once an ioreq, with the record at `at`, which is valid during the call. */
export type Dom0IoreqSink = (vcpu: number, record: Float64Array, at: number) => void;

/** Whether the device at a guest physical address (two u32 halves) is one of those that were to be recorded. */
export type Wanted = (addrLo: number, addrHi: number) => boolean;

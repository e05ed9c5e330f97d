import { RUNSTATE } from '../../trace/events.ts';

const { RUNNING, BLOCKED, OFFLINE } = RUNSTATE;
const WIDTH = 4;
/** When the vCPU last can have been in the guest for certain; its wait's begin and end; whether that is all. */
const AT = { GUEST: 0, OFFLINE: 1, RUNNING: 2, BEFORE: 3 } as const;

/**
 * Told of a wait once its surroundings are known: the trap began at `notBefore` or later, the guest resumed at
 * `notAfter` or earlier. NaN: not known (the first and last wait).
 */
export type SurroundingsListener = (
  vcpu: number,
  notBefore: number,
  offline: number,
  running: number,
  notAfter: number,
) => void;

/**
 * What runstates alone say for certain about the trap around a wait (running→offline … →running). The trap begins
 * after the vCPU's ioreq before: so after it ran again from that wait; and after it last woke from being blocked, for
 * a vCPU that blocks is in the guest or leaves its trap with that. For the same reasons the guest has resumed by
 * the next time that the vCPU blocks or waits. Lost records only make the limits wider.
 */
export class WaitSurroundings {
  private readonly state: Float64Array;
  private readonly listener: SurroundingsListener;

  constructor(vcpus: number, listener: SurroundingsListener) {
    this.state = new Float64Array(vcpus * WIDTH).fill(NaN);
    this.listener = listener;
  }

  /** One runstate record of the domain's vCPU `v` at `t`. */
  runstate(v: number, old: number, now: number, t: number): void {
    const s = this.state;
    const at = v * WIDTH;
    if (at >= s.length) return;
    if (old === RUNNING && (now === OFFLINE || now === BLOCKED)) {
      this.close(v, t);
      if (now === OFFLINE) {
        s[at + AT.OFFLINE] = t;
        s[at + AT.BEFORE] = s[at + AT.GUEST]!;
      }
    }
    if (old === BLOCKED) s[at + AT.GUEST] = t;
    if (now === RUNNING && !Number.isNaN(s[at + AT.OFFLINE]!) && Number.isNaN(s[at + AT.RUNNING]!)) {
      s[at + AT.RUNNING] = s[at + AT.GUEST] = t;
    }
  }

  /** What is still open has no certain end. */
  finish(): void {
    for (let v = 0; v * WIDTH < this.state.length; v++) this.close(v, NaN);
  }

  private close(v: number, t: number): void {
    const s = this.state;
    const at = v * WIDTH;
    if (!Number.isNaN(s[at + AT.RUNNING]!))
      this.listener(v, s[at + AT.BEFORE]!, s[at + AT.OFFLINE]!, s[at + AT.RUNNING]!, t);
    s[at + AT.OFFLINE] = s[at + AT.RUNNING] = NaN;
  }
}

import type { Guest, XenHost } from '../../fixtures/xen-on-arm/types.ts';
import type { HookSet } from './hook-sets.ts';
import { OverheadRecorder } from './recorder.ts';

/** What one run of the guest's work showed. CPU seconds are of the emulated board unless said otherwise. */
export interface Sample {
  /** By the guest's clock. */
  readsPerSecond: number;
  /** CPU time of Dom0 a read, us: device model, kernel, and recorder if there is one. */
  dom0UsPerRead: number;
  /** CPU seconds of the recorder's processes on the board a second. */
  recorderBoard: number;
  /** Rows of the trace; 0 without one. */
  events: number;
}

/** Two runs with, between two without. */
export interface Quad {
  set: HookSet;
  without: [Sample, Sample];
  recorded: [Sample, Sample];
}

interface Ticks {
  dom0: number;
  board: number;
}

/** Unit of /proc/stat and /proc/PID/stat, Hz: fixed by the ABI on both sides (Linux, USER_HZ). */
const USER_HZ = 100;

/** Busy time of Dom0 (user, nice, system, irq, softirq), then that of the recorder's shell, sshd and xentrace. */
const TICKS = `read -r _ u n s i w q f rest </proc/stat; dom0=$((u + n + s + q + f))
board=0
add() { { read -r line </proc/$1/stat; } 2>/dev/null || return; set -- \${line##*) }; board=$((board + \${12} + \${13} + \${14} + \${15})); up=$2; }
for i in /sys/kernel/tracing/instances/ioreqtrace_*; do
  [ -d "$i" ] || continue
  p=\${i#*ioreqtrace_}; add \${p%%_*}; add $up
done
for c in /proc/[0-9]*/comm; do
  read -r name <"$c" || continue
  [ "$name" = xentrace ] && { p=\${c%/comm}; add \${p#/proc/}; }
done 2>/dev/null
echo $dom0 $board`;

/** Host, guest and what one run is. */
export class Bed {
  private readonly host: XenHost;
  private readonly guest: Guest;
  private readonly work: string;
  private readonly reads: number;
  private runs = 0;

  constructor(host: XenHost, guest: Guest, work: string, reads: number) {
    this.host = host;
    this.guest = guest;
    this.work = work;
    this.reads = reads;
  }

  /** The work once; recorded as `set` says, or not at all. */
  async sample(set: HookSet | undefined): Promise<Sample> {
    const { host, guest, work, reads } = this;
    const recorder =
      set === undefined ? undefined : await OverheadRecorder.start(host, guest, work, set, this.runs++);
    const before = await this.ticks();
    const script = `u() { cut -d' ' -f1 /proc/uptime; }
u; dd if=/dev/vda of=/dev/null bs=4096 count=${reads} iflag=direct 2>/dev/null; u`;
    const [start = NaN, end = NaN] = (await guest.exec(script, 600_000)).trim().split('\n').map(Number);
    const after = await this.ticks();
    const events = (await recorder?.stop()) ?? 0;
    const seconds = end - start;
    const spent = (what: keyof Ticks): number => (after[what] - before[what]) / USER_HZ;
    return {
      readsPerSecond: reads / seconds,
      dom0UsPerRead: (1e6 * spent('dom0')) / reads,
      recorderBoard: recorder === undefined ? 0 : spent('board') / seconds,
      events,
    };
  }

  private async ticks(): Promise<Ticks> {
    const { stdout } = await this.host.exec(TICKS);
    const [dom0 = NaN, board = NaN] = stdout.trim().split(' ').map(Number);
    return { dom0, board };
  }
}

/** Notifies kept a port until both streams have passed them. */
interface PortTally {
  port: number;
  notifies: number;
  pids: number[];
  /** The vCPU that the kernel's own handler of the port names (ioeventfd), -1 if there is none. */
  told: number;
  /** That handler also named the traced domain. */
  ours: boolean;
  /** Votes by vCPU: notifies that fell into a wait of it, and fetched slots that stood answered. */
  waits: Uint32Array;
  slots: Uint32Array;
}

/** Enough to tell ports apart; more would only cost time. */
const MAX_VOTES = 20_000;

/**
 * Which vCPU an ioreq event-channel port stands for. Only the kernel's ioeventfd handler says it; but an answer
 * (EVTCHN_NOTIFY on the port) falls into a wait of its vCPU, and finds that vCPU's slot of the ioreq page answered.
 */
export class PortVotes {
  private readonly ports: PortTally[] = [];
  private readonly vcpus: number;
  /** Recent waits by vCPU: begins and ends (axis ns), the open one has end = Infinity. */
  private readonly begins: number[][];
  private readonly ends: number[][];
  /** Notifies that wait for the watermark: port index, time. */
  private pendingPort: number[] = [];
  private pendingTime: number[] = [];

  constructor(vcpus: number) {
    this.vcpus = vcpus;
    this.begins = Array.from({ length: vcpus }, () => []);
    this.ends = Array.from({ length: vcpus }, () => []);
  }

  waitBegins(vcpu: number, t: number): void {
    this.begins[vcpu]!.push(t);
    this.ends[vcpu]!.push(Infinity);
  }

  waitEnds(vcpu: number, t: number): void {
    const ends = this.ends[vcpu]!;
    if (ends.length > 0) ends[ends.length - 1] = t;
  }

  notify(pid: number, port: number, t: number): void {
    const tally = this.tally(port);
    if (tally === undefined) return;
    tally.notifies++;
    if (!tally.pids.includes(pid) && tally.pids.length < 256) tally.pids.push(pid);
    if (tally.notifies > MAX_VOTES) return;
    this.pendingPort.push(this.ports.indexOf(tally));
    this.pendingTime.push(t);
  }

  /** The kernel's handler of `port` looks at the slot of `vcpu`; `ours`: of the traced domain for certain. */
  told(port: number, vcpu: number, ours: boolean): void {
    if (vcpu >= this.vcpus) return;
    const tally = this.tally(port);
    if (tally === undefined) return;
    tally.told = vcpu;
    if (ours) tally.ours = true;
  }

  slot(port: number, vcpu: number): void {
    const tally = this.tally(port);
    if (tally !== undefined && vcpu < this.vcpus) tally.slots[vcpu]!++;
  }

  /** Both streams have been read up to `watermark`: count the votes before it and forget old waits. */
  settle(watermark: number): void {
    const keep = watermark - 1e9;
    for (let n = 0; n < this.pendingPort.length; n++) {
      const t = this.pendingTime[n]!;
      for (let v = 0; v < this.vcpus; v++)
        if (this.within(v, t)) this.ports[this.pendingPort[n]!]!.waits[v]!++;
    }
    this.pendingPort = [];
    this.pendingTime = [];
    for (let v = 0; v < this.vcpus; v++) {
      const ends = this.ends[v]!;
      let drop = 0;
      while (drop < ends.length && ends[drop]! < keep) drop++;
      if (drop > 0) {
        ends.splice(0, drop);
        this.begins[v]!.splice(0, drop);
      }
    }
  }

  /**
   * The ports that threads of `pids` notify (every notifying thread, if `pids` is empty) or whose kernel handler
   * named the domain, each tied to a vCPU: as that handler says, else by waits, else by slots, else in the order of
   * port numbers (device models bind in the order of vCPUs).
   */
  decide(
    pids: readonly number[],
    vcpus: number,
  ): { vcpuOfPort: Map<number, number>; by: string; pids: number[]; answers: number } {
    const chosen = this.ports.filter(
      (p) => pids.length === 0 || p.ours || p.pids.some((pid) => pids.includes(pid)),
    );
    chosen.sort((a, b) => a.port - b.port);
    const answering = new Set<number>();
    for (const p of chosen)
      for (const pid of p.pids) if (pids.length === 0 || p.ours || pids.includes(pid)) answering.add(pid);
    const vcpuOfPort = new Map<number, number>();
    if (chosen.length === 0) return { vcpuOfPort, by: 'none', pids: [], answers: 0 };
    const taken = new Set<string>();
    for (const p of chosen) {
      if (p.told < 0) continue;
      vcpuOfPort.set(p.port, p.told);
      taken.add(`${p.pids[0] ?? 0} ${p.told}`);
    }
    const rest = chosen.filter((p) => p.told < 0);
    if (rest.length === 0)
      return { vcpuOfPort, by: 'kernel', pids: [...answering], answers: answersOn(chosen, vcpuOfPort) };
    const by = rest.some((p) => sum(p.waits) > 0)
      ? 'waits'
      : rest.some((p) => sum(p.slots) > 0)
        ? 'slots'
        : 'order';
    if (by === 'order') {
      for (const [n, p] of rest.entries()) if (n < Math.max(1, vcpus)) vcpuOfPort.set(p.port, n);
      return { vcpuOfPort, by, pids: [...answering], answers: answersOn(chosen, vcpuOfPort) };
    }
    // Greedy by share of votes: a device model has one ioreq port a vCPU, so the surest come first.
    const pairs: { port: number; owner: number; vcpu: number; share: number }[] = [];
    for (const p of rest) {
      const votes = by === 'waits' ? p.waits : p.slots;
      const counted = Math.min(p.notifies, MAX_VOTES);
      for (let v = 0; v < this.vcpus; v++)
        if (votes[v]! > 0)
          pairs.push({ port: p.port, owner: p.pids[0] ?? 0, vcpu: v, share: votes[v]! / counted });
    }
    pairs.sort((a, b) => b.share - a.share || a.port - b.port || a.vcpu - b.vcpu);
    for (const { port, owner, vcpu } of pairs) {
      if (vcpuOfPort.has(port) || taken.has(`${owner} ${vcpu}`)) continue;
      vcpuOfPort.set(port, vcpu);
      taken.add(`${owner} ${vcpu}`);
    }
    return { vcpuOfPort, by, pids: [...answering], answers: answersOn(chosen, vcpuOfPort) };
  }

  private within(vcpu: number, t: number): boolean {
    const begins = this.begins[vcpu]!;
    let low = 0;
    let high = begins.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (begins[middle]! <= t) low = middle + 1;
      else high = middle;
    }
    return low > 0 && t <= this.ends[vcpu]![low - 1]!;
  }

  private tally(port: number): PortTally | undefined {
    const last = this.ports.at(-1);
    if (last?.port === port) return last;
    let found = this.ports.find((p) => p.port === port);
    if (found === undefined) {
      if (this.ports.length >= 1024) return undefined;
      found = {
        port,
        notifies: 0,
        pids: [],
        told: -1,
        ours: false,
        waits: new Uint32Array(this.vcpus),
        slots: new Uint32Array(this.vcpus),
      };
      this.ports.push(found);
    }
    return found;
  }
}

function answersOn(ports: readonly PortTally[], vcpuOfPort: ReadonlyMap<number, number>): number {
  return ports.reduce((total, p) => total + (vcpuOfPort.has(p.port) ? p.notifies : 0), 0);
}

function sum(values: Uint32Array): number {
  let total = 0;
  for (const v of values) total += v;
  return total;
}

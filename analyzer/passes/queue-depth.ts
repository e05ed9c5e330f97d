/** In-flight depth of one queue: requests popped and not yet used. */
export interface DepthFacts {
  device: number;
  queue: number;
  now: number;
  max: number;
  /** Integral of depth over time, and the time since the first pop: their quotient is the mean depth. */
  area: number;
  since: number;
  first: number;
}

/** Depths of all queues; times in axis ns. */
export class QueueDepths {
  readonly list: DepthFacts[] = [];
  private last = 0;

  now(device: number, queue: number): number {
    return this.find(device, queue)?.now ?? 0;
  }

  /** Changes a queue's depth by `by` at `t`, and gives what it is then. */
  change(device: number, queue: number, t: number, by: number): number {
    let facts = this.find(device, queue);
    if (facts === undefined) {
      facts = { device, queue, now: 0, max: 0, area: 0, since: t, first: t };
      this.list.push(facts);
    }
    facts.area += facts.now * (t - facts.since);
    facts.since = t;
    facts.now = Math.max(0, facts.now + by);
    facts.max = Math.max(facts.max, facts.now);
    return facts.now;
  }

  private find(device: number, queue: number): DepthFacts | undefined {
    // Asked for several times a request, mostly for the queue before.
    const last = this.list[this.last];
    if (last?.queue === queue && last.device === device) return last;
    for (let n = 0; n < this.list.length; n++) {
      const facts = this.list[n]!;
      if (facts.queue !== queue || facts.device !== device) continue;
      this.last = n;
      return facts;
    }
    return undefined;
  }
}

const ACTIVE_ROUNDS = 16;
/** /proc/uptime counts hundredths of a second; as much again for the reading itself. */
const UPTIME_ERROR_NS = 20e6;
/** How far a trace clock may run off the uptime's: NTP slews one of them by no more (adjtimex(2), 500 ppm). */
const DRIFT = 500e-6;

/**
 * Up to which time, on the trace clock, all events of a source have come once a round of draining it has ended.
 *
 * What a round brought had happened before the next round began; and a round drains each CPU of all that had
 * happened before it began. So at the end of a round everything up to the last event of the rounds before is there.
 * Where nothing happens, the host's own time goes on: it is tied to the trace clock by those same bounds.
 */
export class Watermark {
  private last = -Infinity;
  private mark = -Infinity;
  /** Of rounds that brought events: upper bounds of uptime minus trace clock, and the uptime at which each held. */
  private readonly bounds = new Float64Array(ACTIVE_ROUNDS).fill(Infinity);
  private readonly boundAt = new Float64Array(ACTIVE_ROUNDS);
  private rounds = 0;
  private fresh = false;

  /**
   * A round has ended; the last of its events was at `last` (-Infinity: none), and it began at `uptimeNs`, if that is
   * known and the trace clock counts ns. Gives the mark, which never falls.
   */
  round(last: number, uptimeNs = NaN): number {
    let mark = this.last;
    if (!Number.isNaN(uptimeNs)) {
      if (this.fresh) {
        const at = this.rounds++ % ACTIVE_ROUNDS;
        this.bounds[at] = uptimeNs + UPTIME_ERROR_NS - this.last;
        this.boundAt[at] = uptimeNs;
      }
      for (let n = 0; n < ACTIVE_ROUNDS; n++) {
        const slack = (uptimeNs - this.boundAt[n]!) * DRIFT;
        mark = Math.max(mark, uptimeNs - this.bounds[n]! - UPTIME_ERROR_NS - Math.max(0, slack));
      }
    }
    this.fresh = last > this.last;
    this.last = Math.max(this.last, last);
    this.mark = Math.max(this.mark, mark);
    return this.mark;
  }
}

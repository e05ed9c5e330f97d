import { NO_TRANSPORT, REC_TAG, RecordingBatch } from '../../trace/recording.ts';

/**
 * The rows of a recording, numbered through all batches, and what belongs together: a group is an access with the
 * memory that had to be in place before it, its notify record, and what was seen to have come of it.
 */
export class RecordingUnits {
  readonly rows: number;
  readonly groups: number;
  /** By row: tag, group, and the transport of its group (NO_TRANSPORT if its access names no device's window). */
  readonly tag: Uint8Array;
  readonly group: Uint32Array;
  readonly transport: Uint16Array;
  private readonly batches: readonly RecordingBatch[];
  /** First row of each batch. */
  private readonly firsts: number[] = [];

  /** `transportOf`: the slot whose register window holds an address; undefined if none does. */
  constructor(batches: readonly RecordingBatch[], transportOf: (address: number) => number | undefined) {
    this.batches = batches;
    let rows = 0;
    for (const batch of batches) {
      this.firsts.push(rows);
      rows += batch.length;
    }
    this.rows = rows;
    this.tag = new Uint8Array(rows);
    this.group = new Uint32Array(rows);
    this.transport = new Uint16Array(rows).fill(NO_TRANSPORT);
    this.groups = this.divide(transportOf);
  }

  /** These rows alone, as batches; they keep their step numbers. */
  select(kept: ArrayLike<number>): RecordingBatch[] {
    const out: RecordingBatch[] = [];
    let to = new RecordingBatch(Math.min(4096, kept.length));
    let b = 0;
    for (let n = 0; n < kept.length; n++) {
      const row = kept[n]!;
      while (b + 1 < this.firsts.length && this.firsts[b + 1]! <= row) b++;
      if (to.full) {
        out.push(to);
        to = new RecordingBatch(Math.min(4096, kept.length - n));
      }
      copyRow(this.batches[b]!, row - this.firsts[b]!, to);
    }
    out.push(to);
    return out;
  }

  private divide(transportOf: (address: number) => number | undefined): number {
    let group = 0;
    let begin = 0;
    let row = 0;
    for (const batch of this.batches) {
      for (let i = 0; i < batch.length; i++, row++) {
        const tag = batch.tag[i]!;
        this.tag[row] = tag;
        // Interrupts, and what is seen at a notify, come behind the access that led to them.
        const behind =
          tag === REC_TAG.IRQ || (tag === REC_TAG.USED && batch.rest[i]!.includes('"at":"notify"'));
        if (behind && begin === row && group > 0) {
          this.group[row] = group - 1;
          this.transport[row] = this.transport[row - 1]!;
          begin = row + 1;
          continue;
        }
        this.group[row] = group;
        if (tag !== REC_TAG.READ && tag !== REC_TAG.WRITE) continue;
        const address = batch.addr[2 * i]! + batch.addr[2 * i + 1]! * 0x1_0000_0000;
        const slot = transportOf(address) ?? NO_TRANSPORT;
        this.transport.fill(slot, begin, row + 1);
        begin = row + 1;
        group++;
      }
    }
    // What follows the last access is a group of its own.
    return begin < row ? group + 1 : group;
  }
}

function copyRow(from: RecordingBatch, i: number, to: RecordingBatch): void {
  const j = to.push(from.tag[i]!, from.step[i]!, from.rest[i]!, from.payload(i));
  to.addr[2 * j] = from.addr[2 * i]!;
  to.addr[2 * j + 1] = from.addr[2 * i + 1]!;
  to.size[j] = from.size[i]!;
  to.value[2 * j] = from.value[2 * i]!;
  to.value[2 * j + 1] = from.value[2 * i + 1]!;
  to.vcpu[j] = from.vcpu[i]!;
  to.transport[j] = from.transport[i]!;
  to.queue[j] = from.queue[i]!;
  to.adv[j] = from.adv[i]!;
}

import { TWO_32 } from '../../../trace/columns.ts';
import type { EventBatch } from '../../../trace/columns.ts';
import { K } from '../../../trace/events.ts';
import { NO_DOMID, NO_PID, NO_VCPU } from '../../../trace/ids.ts';
import { STEP } from './lane.ts';
import type { ChunkSpace, Epoch } from './lane.ts';
import type { LaneHeap } from './lane-heap.ts';
import { HASH_MULTIPLIER, HASH_SHIFT, hasOneClass, ID_AT, INFO_AT, OP } from './records.ts';
import type { Tally } from './tally.ts';

/**
 * Rows a call: they stay in the cache between clearing and writing, and a function that is called often is
 * compiled as a whole, which the JIT does better than replacing a loop that runs.
 */
const BLOCK_ROWS = 1024;
/** As in INFO_AT, for an id that is not there. */
const OTHER_INFO = OP.OTHER | (K.XEN_OTHER << 16);

/** Called for each lost_records record; rare. */
export type OnLoss = (cpu: number, count: number, ts: number) => void;

/**
 * Decodes a block of records from the lanes straight into `out`, in time order over all CPUs, until the
 * block or `out` is full or the lanes have ended. This is the hot loop: everything it needs is in locals,
 * and whatever is rare is a call.
 */
export function decodeBlock(
  heap: LaneHeap,
  space: ChunkSpace,
  epoch: Epoch,
  out: EventBatch,
  tally: Tally,
  onLoss: OnLoss,
): void {
  const { ts: outTs, kind: outKind, cpu: outCpu, domid: outDomid, vcpu: outVcpu, pid: outPid } = out;
  const { addr: outAddr, data: outData, arg0: out0, arg1: out1, arg2: out2, arg3: out3 } = out;
  const { words, unsigned } = space;
  const known = tally.known;
  const ids = ID_AT;
  const infos = INFO_AT;
  const multiplier = HASH_MULTIPLIER;
  let i = out.length;
  const max = Math.min(out.capacity, i + BLOCK_ROWS);
  // Few records fill these columns: cleared for the whole block, they cost a fraction of a store a row.
  outPid.fill(NO_PID, i, max);
  outAddr.fill(0, 2 * i, 2 * max);
  outData.fill(0, 2 * i, 2 * max);
  out2.fill(0, i, max);
  out3.fill(0, i, max);

  // Time of the low word 0 under the high word `hi`: high words hardly ever change.
  const { hi: epochHi, lo: epochLo } = epoch;
  let hi = epochHi;
  let hiTime = -epochLo;

  while (i < max) {
    const lane = heap.first();
    if (lane === undefined) break;
    const othersNext = heap.limit();
    const { cpu } = lane;
    let { pos, end, last } = lane;
    let next = heap.firstTime();
    let limit = Math.min(othersNext, last + STEP);

    while (i < max) {
      if (pos >= end) {
        lane.pos = pos;
        lane.last = last;
        const more = lane.advance();
        pos = lane.pos;
        end = lane.end;
        if (more) continue;
        next = Infinity;
        break;
      }
      const header = words[pos]!;
      const count = (header >>> 28) & 7;
      const after = pos + 1 + count + ((header >>> 31) << 1);
      if (after > end) {
        lane.pos = pos;
        lane.last = last;
        const damaged = lane.overrun(after - pos);
        pos = lane.pos;
        end = lane.end;
        if (damaged) i = gap(out, i, last, cpu, onLoss);
        continue;
      }
      const id = header & 0x0fffffff;
      const place = Math.imul(id, multiplier) >>> HASH_SHIFT;
      const info = ids[place]! === id ? infos[place]! : OTHER_INFO;
      const op = (info >>> 8) & 15;
      if (count < ((info >>> 12) & 15) || (op === OP.OTHER && !hasOneClass(id))) {
        lane.pos = pos;
        const expected = op > OP.OTHER && op < OP.FOREIGN ? `${(info >>> 12) & 15} words` : 'a record of Xen';
        lane.bad('a record contradicts its format', expected, `id 0x${id.toString(16)} with ${count} words`);
        i = gap(out, i, last, cpu, onLoss);
        pos = end;
        continue;
      }
      let p = pos + 1;
      let t = last;
      if (header < 0) {
        const high = unsigned[pos + 2]!;
        if (high !== hi) {
          hi = high;
          hiTime = (high - epochHi) * TWO_32 - epochLo;
        }
        t = hiTime + unsigned[p]!;
        if (t >= limit) {
          if (t - last > STEP) {
            lane.last = last;
            if (!lane.confirms(pos, t)) {
              lane.reportTime(pos, 'a timestamp leaps ahead of the next; the previous one is used');
              lane.setTimeToLast(pos);
              continue;
            }
          }
          if (t >= othersNext) {
            next = t;
            break;
          }
          limit = Math.min(othersNext, t + STEP);
        } else if (t < last) {
          lane.last = last;
          if (last - t > STEP && lane.confirms(pos, t)) {
            lane.reportTime(pos, 'the clock starts again; records from here on are left out');
            lane.stop();
            pos = end;
            i = gap(out, i, last, cpu, onLoss);
            continue;
          }
          lane.reportTime(pos, 'a timestamp goes back; the previous one is used');
          t = last;
        }
        p += 2;
      }

      known[info & 0xff]! += 1;
      last = t;
      pos = after;

      let domid = NO_DOMID;
      let vcpu = NO_VCPU;
      let a0 = 0;
      let a1 = 0;
      switch (op) {
        case OP.DOM_VCPU_WORD:
          domid = words[p]! >>> 16;
          vcpu = words[p]! & 0xffff;
          a0 = (info >>> 24) & 15;
          a1 = info >>> 28;
          break;
        case OP.DOM:
          domid = words[p]!;
          break;
        case OP.DOM_VCPU:
          domid = words[p]!;
          vcpu = words[p + 1]!;
          break;
        case OP.DOM_VCPU_1:
          domid = words[p]!;
          vcpu = words[p + 1]!;
          a0 = words[p + 2]!;
          break;
        case OP.DOM_VCPU_2:
          domid = words[p]!;
          vcpu = words[p + 1]!;
          a0 = words[p + 2]!;
          a1 = words[p + 3]!;
          break;
        case OP.SWITCH:
          domid = words[p + 2]!;
          vcpu = words[p + 3]!;
          a0 = words[p]!;
          a1 = words[p + 1]!;
          break;
        case OP.ARM_ABORT:
          domid = words[p]! >>> 16;
          vcpu = words[p]! & 0xffff;
          outAddr[2 * i] = words[p + 1]!;
          outAddr[2 * i + 1] = words[p + 2]!;
          a0 = words[p + 3]!;
          outData[2 * i] = words[p + 4]!;
          outData[2 * i + 1] = words[p + 5]!;
          break;
        case OP.ARM_RESUME:
          domid = words[p]! >>> 16;
          vcpu = words[p]! & 0xffff;
          outData[2 * i] = words[p + 1]!;
          outData[2 * i + 1] = words[p + 2]!;
          break;
        case OP.ARM_SEND:
          domid = words[p]! >>> 16;
          vcpu = words[p]! & 0xffff;
          outAddr[2 * i] = words[p + 1]!;
          outAddr[2 * i + 1] = words[p + 2]!;
          outData[2 * i] = words[p + 3]!;
          outData[2 * i + 1] = words[p + 4]!;
          a0 = words[p + 5]!;
          a1 = words[p + 6]!;
          break;
        case OP.ARM_DONE:
          domid = words[p]! >>> 16;
          vcpu = words[p]! & 0xffff;
          outData[2 * i] = words[p + 1]!;
          outData[2 * i + 1] = words[p + 2]!;
          a1 = words[p + 3]!;
          break;
        case OP.ARM_VIRQ_3:
          domid = words[p]! >>> 16;
          vcpu = words[p]! & 0xffff;
          a0 = words[p + 1]!;
          a1 = words[p + 2]!;
          out2[i] = words[p + 3]!;
          break;
        case OP.ARM_VIRQ_2:
          domid = words[p]! >>> 16;
          vcpu = words[p]! & 0xffff;
          a0 = words[p + 1]!;
          a1 = words[p + 2]!;
          break;
        case OP.LOST:
          a0 = words[p]!;
          domid = words[p + 1]! & 0xffff;
          vcpu = words[p + 1]! >>> 16;
          outData[2 * i] = words[p + 2]!;
          outData[2 * i + 1] = words[p + 3]!;
          onLoss(cpu, a0 >>> 0, t);
          break;
        case OP.WRAP:
          continue;
        default:
          tally.countOther(id);
          a0 = id;
          a1 = count;
          if (count > 0) outAddr[2 * i] = words[p]!;
          if (count > 1) outAddr[2 * i + 1] = words[p + 1]!;
          if (count > 2) outData[2 * i] = words[p + 2]!;
          if (count > 3) outData[2 * i + 1] = words[p + 3]!;
          if (count > 4) out2[i] = words[p + 4]!;
          if (count > 5) out3[i] = words[p + 5]!;
          if (count > 6) {
            domid = words[p + 6]! & 0xffff;
            vcpu = words[p + 6]! >>> 16;
          }
      }
      outTs[i] = t;
      outKind[i] = (info >>> 16) & 0xff;
      outCpu[i] = cpu;
      outDomid[i] = domid;
      outVcpu[i] = vcpu;
      out0[i] = a0;
      out1[i] = a1;
      i++;
    }
    lane.pos = pos;
    lane.last = last;
    heap.update(next);
  }
  out.length = i;
}

/** The rest of a window could not be decoded: a row that says so, of an unknown number of records. */
function gap(out: EventBatch, row: number, last: number, cpu: number, onLoss: OnLoss): number {
  out.length = row;
  out.push(last, K.XEN_LOST, cpu, NO_DOMID, NO_VCPU, NO_PID);
  onLoss(cpu, 0, last);
  return row + 1;
}

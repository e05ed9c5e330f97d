import type { EventBatch } from '../../../trace/columns.ts';
import { NO_DOMID, NO_PID, NO_VCPU } from '../../../trace/ids.ts';
import { BLOCK_ROWS } from './merge.ts';
import type { BlockRows } from './merge.ts';
import { OP } from './records.ts';
import type { Tally } from './tally.ts';

// Constants of this module: an import is looked up at every use, and a switch over what is no constant to the JIT
// is a chain of comparisons.
const { DOM_VCPU_WORD, DOM, DOM_VCPU, DOM_VCPU_1, DOM_VCPU_2, SWITCH, LOST } = OP;
const { ARM_ABORT, ARM_RESUME, ARM_SEND, ARM_DONE, ARM_VIRQ_3, ARM_VIRQ_2 } = OP;
const ROW_MASK = BLOCK_ROWS - 1;

/** Called for each lost_records record and each gap; rare. `count` 0: an unknown number. */
export type OnLoss = (cpu: number, count: number, ts: number) => void;

/** The columns that few records fill: cleared for a whole block, they cost a fraction of a store a row. */
export function clearRows(out: EventBatch, from: number, to: number): void {
  out.pid.fill(NO_PID, from, to);
  out.addr.fill(0, 2 * from, 2 * to);
  out.data.fill(0, 2 * from, 2 * to);
  out.arg2.fill(0, from, to);
  out.arg3.fill(0, from, to);
}

/** Fills the columns of rows that mergeRows found, all but `ts` and `cpu`, and counts their records. */
export function describeRows(
  words: Int32Array,
  rows: BlockRows,
  tally: Tally,
  onLoss: OnLoss,
  out: EventBatch,
  from: number,
  to: number,
): void {
  const { at, info: infoOf } = rows;
  const { kind: outKind, domid: outDomid, vcpu: outVcpu, addr: outAddr, data: outData } = out;
  const { arg0: out0, arg1: out1, arg2: out2, arg3: out3 } = out;
  const known = tally.known;
  const noDomid = NO_DOMID | 0;
  const noVcpu = NO_VCPU | 0;
  const end = to | 0;
  for (let i = from | 0; i < end; i++) {
    const r = i & ROW_MASK;
    const info = infoOf[r]!;
    const header = words[at[r]!]!;
    const p = at[r]! + 1 + ((header >>> 31) << 1);
    known[info & 0xff]! += 1;
    outKind[i] = (info >>> 16) & 0xff;
    let domid = noDomid;
    let vcpu = noVcpu;
    let a0 = 0;
    let a1 = 0;
    switch ((info >>> 8) & 15) {
      case DOM_VCPU_WORD:
        domid = words[p]! >>> 16;
        vcpu = words[p]! & 0xffff;
        a0 = (info >>> 24) & 15;
        a1 = info >>> 28;
        break;
      case DOM:
        domid = words[p]!;
        break;
      case DOM_VCPU:
        domid = words[p]!;
        vcpu = words[p + 1]!;
        break;
      case DOM_VCPU_1:
        domid = words[p]!;
        vcpu = words[p + 1]!;
        a0 = words[p + 2]!;
        break;
      case DOM_VCPU_2:
        domid = words[p]!;
        vcpu = words[p + 1]!;
        a0 = words[p + 2]!;
        a1 = words[p + 3]!;
        break;
      case SWITCH:
        domid = words[p + 2]!;
        vcpu = words[p + 3]!;
        a0 = words[p]!;
        a1 = words[p + 1]!;
        break;
      case ARM_ABORT:
        domid = words[p]! >>> 16;
        vcpu = words[p]! & 0xffff;
        outAddr[2 * i] = words[p + 1]!;
        outAddr[2 * i + 1] = words[p + 2]!;
        a0 = words[p + 3]!;
        outData[2 * i] = words[p + 4]!;
        outData[2 * i + 1] = words[p + 5]!;
        break;
      case ARM_RESUME:
        domid = words[p]! >>> 16;
        vcpu = words[p]! & 0xffff;
        outData[2 * i] = words[p + 1]!;
        outData[2 * i + 1] = words[p + 2]!;
        break;
      case ARM_SEND:
        domid = words[p]! >>> 16;
        vcpu = words[p]! & 0xffff;
        outAddr[2 * i] = words[p + 1]!;
        outAddr[2 * i + 1] = words[p + 2]!;
        outData[2 * i] = words[p + 3]!;
        outData[2 * i + 1] = words[p + 4]!;
        a0 = words[p + 5]!;
        a1 = words[p + 6]!;
        break;
      case ARM_DONE:
        domid = words[p]! >>> 16;
        vcpu = words[p]! & 0xffff;
        outData[2 * i] = words[p + 1]!;
        outData[2 * i + 1] = words[p + 2]!;
        a1 = words[p + 3]!;
        break;
      case ARM_VIRQ_3:
        domid = words[p]! >>> 16;
        vcpu = words[p]! & 0xffff;
        a0 = words[p + 1]!;
        a1 = words[p + 2]!;
        out2[i] = words[p + 3]!;
        break;
      case ARM_VIRQ_2:
        domid = words[p]! >>> 16;
        vcpu = words[p]! & 0xffff;
        a0 = words[p + 1]!;
        a1 = words[p + 2]!;
        break;
      case LOST:
        a0 = words[p]!;
        domid = words[p + 1]! & 0xffff;
        vcpu = words[p + 1]! >>> 16;
        outData[2 * i] = words[p + 2]!;
        outData[2 * i + 1] = words[p + 3]!;
        onLoss(out.cpu[i]!, a0 >>> 0, out.ts[i]!);
        break;
      default: {
        const id = header & 0x0fffffff;
        const length = (header >>> 28) & 7;
        tally.countOther(id);
        a0 = id;
        a1 = length;
        if (length > 0) outAddr[2 * i] = words[p]!;
        if (length > 1) outAddr[2 * i + 1] = words[p + 1]!;
        if (length > 2) outData[2 * i] = words[p + 2]!;
        if (length > 3) outData[2 * i + 1] = words[p + 3]!;
        if (length > 4) out2[i] = words[p + 4]!;
        if (length > 5) out3[i] = words[p + 5]!;
        if (length > 6) {
          domid = words[p + 6]! & 0xffff;
          vcpu = words[p + 6]! >>> 16;
        }
      }
    }
    outDomid[i] = domid;
    outVcpu[i] = vcpu;
    out0[i] = a0;
    out1[i] = a1;
  }
}

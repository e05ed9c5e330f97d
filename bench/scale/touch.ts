import type { EventColumns } from '../../trace/columns.ts';

/** Reads every row's every column that the passes look at once, in a plain loop; a sum, so that no engine skips it. */
export function touch(batch: EventColumns): number {
  const { ts, kind, cpu, domid, vcpu, pid, addr, data, arg0, arg1, arg2, length } = batch;
  let time = 0;
  let bits = 0;
  for (let i = 0; i < length; i++) {
    time += ts[i]!;
    bits ^= kind[i]! + cpu[i]! + domid[i]! + vcpu[i]! + pid[i]!;
    bits ^=
      addr[2 * i]! ^ addr[2 * i + 1]! ^ data[2 * i]! ^ data[2 * i + 1]! ^ arg0[i]! ^ arg1[i]! ^ arg2[i]!;
  }
  return time + bits;
}

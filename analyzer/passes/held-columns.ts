import type { EventColumns } from '../../trace/columns.ts';

/**
 * The columns of a batch that Dom0's passes look at for almost every row, as plain properties: where a batch reads its
 * columns when they are asked for (trace/column-stream.ts), each access looks whether that was done, which is a tenth of
 * the whole walk. The two that few rows need are still left to the batch.
 */
export class HeldColumns implements EventColumns {
  length = 0;
  ts: Float64Array = new Float64Array(0);
  kind: Uint16Array = new Uint16Array(0);
  cpu: Uint16Array = new Uint16Array(0);
  domid: Uint16Array = new Uint16Array(0);
  pid: Int32Array = new Int32Array(0);
  addr: Uint32Array = new Uint32Array(0);
  data: Uint32Array = new Uint32Array(0);
  arg0: Uint32Array = new Uint32Array(0);
  arg1: Uint32Array = new Uint32Array(0);
  arg2: Uint32Array = new Uint32Array(0);
  private batch: EventColumns;

  constructor() {
    this.batch = this;
  }

  hold(batch: EventColumns): void {
    this.batch = batch;
    this.length = batch.length;
    this.ts = batch.ts;
    this.kind = batch.kind;
    this.cpu = batch.cpu;
    this.domid = batch.domid;
    this.pid = batch.pid;
    this.addr = batch.addr;
    this.data = batch.data;
    this.arg0 = batch.arg0;
    this.arg1 = batch.arg1;
    this.arg2 = batch.arg2;
  }

  get vcpu(): Uint16Array {
    return this.batch.vcpu;
  }

  get arg3(): Uint32Array {
    return this.batch.arg3;
  }
}

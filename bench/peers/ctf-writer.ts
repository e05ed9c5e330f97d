import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { EventColumns } from '../../trace/columns.ts';
import { kindName } from '../../trace/events.ts';

/**
 * Events of one source as a CTF 1.8 trace (Common Trace Format, diamon.org/ctf): an event class a kind, every column a
 * field, packed; times in whole ns on one clock. A packet holds one batch.
 */
export class CtfWriter {
  private readonly dir: string;
  private readonly fd: number;
  private readonly kinds = new Set<number>();
  events = 0;

  constructor(dir: string) {
    mkdirSync(dir, { recursive: true });
    this.dir = dir;
    this.fd = openSync(join(dir, 'stream'), 'wx');
  }

  /** `nsPerUnit`: of the batch's ts. */
  append(batch: EventColumns, nsPerUnit: number): void {
    const { length } = batch;
    const bytes = HEADER_BYTES + EVENT_BYTES * length;
    const view = new DataView(new ArrayBuffer(bytes));
    const time = (row: number): bigint => BigInt(Math.round(batch.ts[row]! * nsPerUnit));
    view.setUint32(0, MAGIC, true);
    view.setBigUint64(8, time(0), true);
    view.setBigUint64(16, time(length - 1), true);
    view.setBigUint64(24, BigInt(bytes * 8), true);
    view.setBigUint64(32, BigInt(bytes * 8), true);
    for (let i = 0; i < length; i++) {
      const at = HEADER_BYTES + EVENT_BYTES * i;
      const ns = Math.round(batch.ts[i]! * nsPerUnit);
      view.setUint16(at, batch.kind[i]!, true);
      view.setUint32(at + 2, ns % 2 ** 32, true);
      view.setUint32(at + 6, Math.floor(ns / 2 ** 32), true);
      view.setUint16(at + 10, batch.cpu[i]!, true);
      view.setUint16(at + 12, batch.domid[i]!, true);
      view.setUint16(at + 14, batch.vcpu[i]!, true);
      view.setInt32(at + 16, batch.pid[i]!, true);
      view.setUint32(at + 20, batch.addr[2 * i]!, true);
      view.setUint32(at + 24, batch.addr[2 * i + 1]!, true);
      view.setUint32(at + 28, batch.data[2 * i]!, true);
      view.setUint32(at + 32, batch.data[2 * i + 1]!, true);
      view.setUint32(at + 36, batch.arg0[i]!, true);
      view.setUint32(at + 40, batch.arg1[i]!, true);
      view.setUint32(at + 44, batch.arg2[i]!, true);
      view.setUint32(at + 48, batch.arg3[i]!, true);
      this.kinds.add(batch.kind[i]!);
    }
    for (let done = 0; done < bytes;) done += writeSync(this.fd, view, done);
    this.events += length;
  }

  /** Ends the stream and writes what describes it. */
  close(): void {
    closeSync(this.fd);
    const classes = [...this.kinds].sort((a, b) => a - b).map(eventClass);
    writeFileSync(join(this.dir, 'metadata'), HEAD + classes.join(''));
  }
}

const MAGIC = 0xc1fc1fc1;
const HEADER_BYTES = 40;
const EVENT_BYTES = 52;

const HEAD = `/* CTF 1.8 */
typealias integer { size = 16; align = 8; signed = false; byte_order = le; } := u16;
typealias integer { size = 32; align = 8; signed = false; byte_order = le; } := u32;
typealias integer { size = 32; align = 8; signed = true; byte_order = le; } := i32;
typealias integer { size = 64; align = 8; signed = false; byte_order = le; } := u64;
trace {
  major = 1; minor = 8; byte_order = le;
  packet.header := struct { u32 magic; u32 stream_id; };
};
clock { name = trace; freq = 1000000000; };
typealias integer { size = 64; align = 8; signed = false; byte_order = le; map = clock.trace.value; } := stamp;
stream {
  id = 0;
  packet.context := struct { stamp timestamp_begin; stamp timestamp_end; u64 content_size; u64 packet_size; };
  event.header := struct { u16 id; stamp timestamp; };
};
`;

function eventClass(kind: number): string {
  return `event {
  id = ${kind}; name = "${kindName(kind)}"; stream_id = 0;
  fields := struct { u16 cpu; u16 domid; u16 vcpu; i32 pid; u64 addr; u64 data; u32 arg0; u32 arg1; u32 arg2; u32 arg3; };
};
`;
}

import { EVENT_COLUMNS } from './arrow/event-schema.ts';
import type { EventColumnName } from './arrow/event-schema.ts';
import type { BatchMessage } from './arrow/message.ts';
import type { ByteInput } from './bytes/input.ts';
import { BATCH_ROWS } from './columns.ts';
import type { EventColumns } from './columns.ts';
import { TraceError } from './errors.ts';

/** Bytes a row of each column takes in the file. */
const WIDTH: Readonly<Record<EventColumnName, number>> = {
  ts: 8,
  kind: 2,
  cpu: 2,
  domid: 2,
  vcpu: 2,
  pid: 4,
  addr: 8,
  data: 8,
  arg0: 4,
  arg1: 4,
  arg2: 4,
  arg3: 4,
};

/**
 * One record batch of an event file, a column of which is read when it is first asked for: a pass over a long trace
 * wants half of the bytes, a search for an instant next to none. The memory is that of the batch before, so the
 * columns are valid until `move`. The arrays may be longer than `length`.
 *
 * Reading a column throws E_UNREADABLE, or E_TRACE_DAMAGED if the file got shorter since it was opened.
 */
export class StreamedColumns implements EventColumns {
  length = 0;
  private readonly input: ByteInput;
  private readonly places: ReadonlyMap<EventColumnName, number>;
  private message: BatchMessage | undefined;
  private bodyAt = 0;
  /** Rows that the buffers hold. */
  private capacity = 0;
  /** Of each column the memory, in the order of EVENT_COLUMNS. */
  private bytes: Uint8Array<ArrayBuffer>[] = [];
  /** One bit a column, in that order: it holds this batch's values. */
  private here = 0;
  private readonly instant = new Float64Array(1);

  private tsView = new Float64Array(0);
  private kindView = new Uint16Array(0);
  private cpuView = new Uint16Array(0);
  private domidView = new Uint16Array(0);
  private vcpuView = new Uint16Array(0);
  private pidView = new Int32Array(0);
  private addrView = new Uint32Array(0);
  private dataView = new Uint32Array(0);
  private arg0View = new Uint32Array(0);
  private arg1View = new Uint32Array(0);
  private arg2View = new Uint32Array(0);
  private arg3View = new Uint32Array(0);

  /** `places`: where each column stands in the file's schema. */
  constructor(input: ByteInput, places: ReadonlyMap<EventColumnName, number>) {
    this.input = input;
    this.places = places;
  }

  /** Goes on to the batch whose body begins at `bodyAt`. */
  move(message: BatchMessage, bodyAt: number): void {
    this.message = message;
    this.bodyAt = bodyAt;
    this.length = message.rows;
    this.here = 0;
    if (message.rows > this.capacity) this.grow(message.rows);
  }

  /** `ts` of one row; reads 8 bytes if the column was not asked for. */
  timeAt(row: number): number {
    if ((this.here & 1) !== 0) return this.tsView[row]!;
    this.read(0, new Uint8Array(this.instant.buffer), 8 * row);
    return this.instant[0]!;
  }

  get ts(): Float64Array {
    if ((this.here & (1 << 0)) === 0) this.load(0);
    return this.tsView;
  }

  get kind(): Uint16Array {
    if ((this.here & (1 << 1)) === 0) this.load(1);
    return this.kindView;
  }

  get cpu(): Uint16Array {
    if ((this.here & (1 << 2)) === 0) this.load(2);
    return this.cpuView;
  }

  get domid(): Uint16Array {
    if ((this.here & (1 << 3)) === 0) this.load(3);
    return this.domidView;
  }

  get vcpu(): Uint16Array {
    if ((this.here & (1 << 4)) === 0) this.load(4);
    return this.vcpuView;
  }

  get pid(): Int32Array {
    if ((this.here & (1 << 5)) === 0) this.load(5);
    return this.pidView;
  }

  get addr(): Uint32Array {
    if ((this.here & (1 << 6)) === 0) this.load(6);
    return this.addrView;
  }

  get data(): Uint32Array {
    if ((this.here & (1 << 7)) === 0) this.load(7);
    return this.dataView;
  }

  get arg0(): Uint32Array {
    if ((this.here & (1 << 8)) === 0) this.load(8);
    return this.arg0View;
  }

  get arg1(): Uint32Array {
    if ((this.here & (1 << 9)) === 0) this.load(9);
    return this.arg1View;
  }

  get arg2(): Uint32Array {
    if ((this.here & (1 << 10)) === 0) this.load(10);
    return this.arg2View;
  }

  get arg3(): Uint32Array {
    if ((this.here & (1 << 11)) === 0) this.load(11);
    return this.arg3View;
  }

  private load(column: number): void {
    const { name } = EVENT_COLUMNS[column]!;
    this.read(column, this.bytes[column]!.subarray(0, WIDTH[name] * this.length), 0);
    this.here |= 1 << column;
  }

  private read(column: number, into: Uint8Array, offset: number): void {
    const place = this.places.get(EVENT_COLUMNS[column]!.name)!;
    const at = this.bodyAt + this.message!.columns[place]!.at + offset;
    const got = this.input.read(at, into);
    if (got === into.length) return;
    throw new TraceError('E_TRACE_DAMAGED', 'the event file got shorter while it was read', {
      source: this.input.name,
      offset: at,
      expected: `${into.length} bytes`,
      got: String(got),
    });
  }

  private grow(rows: number): void {
    this.capacity = Math.max(rows, BATCH_ROWS);
    const buffers = EVENT_COLUMNS.map(({ name }) => new ArrayBuffer(WIDTH[name] * this.capacity));
    this.bytes = buffers.map((buffer) => new Uint8Array(buffer));
    this.tsView = new Float64Array(buffers[0]!);
    this.kindView = new Uint16Array(buffers[1]!);
    this.cpuView = new Uint16Array(buffers[2]!);
    this.domidView = new Uint16Array(buffers[3]!);
    this.vcpuView = new Uint16Array(buffers[4]!);
    this.pidView = new Int32Array(buffers[5]!);
    this.addrView = new Uint32Array(buffers[6]!);
    this.dataView = new Uint32Array(buffers[7]!);
    this.arg0View = new Uint32Array(buffers[8]!);
    this.arg1View = new Uint32Array(buffers[9]!);
    this.arg2View = new Uint32Array(buffers[10]!);
    this.arg3View = new Uint32Array(buffers[11]!);
  }
}

/** `ts` of one row of any batch, without reading the whole column for it. */
export function timeAt(batch: EventColumns, row: number): number {
  return batch instanceof StreamedColumns ? batch.timeAt(row) : batch.ts[row]!;
}

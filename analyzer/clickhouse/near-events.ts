import { EventBatch } from '../../trace/columns.ts';
import type { EventColumns } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';
import type { Manifest } from '../../trace/manifest.ts';
import type { PassResults } from '../analyze.ts';
import type { SlowSpan } from '../report/document.ts';
import type { TraceView } from '../view.ts';
import { timedStreams } from '../view.ts';
import type { Server } from './server.ts';

/** Of the events around one span a report lists 64; one more says that there were more. */
const LISTED = 65;

type Row = Record<Exclude<keyof EventColumns, 'length' | 'addr' | 'data'>, number> & {
  addr_lo: number;
  addr_hi: number;
  data_lo: number;
  data_hi: number;
};

/**
 * A view of a trace in the database that holds the events which a report lists beside its slowest spans, and no
 * other: attachEvents (report/slow-spans.ts) finds over it what it finds over all.
 */
export async function viewNear(
  server: Server,
  trace: string,
  manifest: Manifest,
  results: PassResults,
  spans: readonly SlowSpan[],
): Promise<TraceView> {
  const none: TraceView = { manifest, source: () => ({ batches: () => [] }) };
  const { xen, dom0 } = timedStreams(none);
  const held = new Map<string, EventColumns>();
  const { scouted } = results;
  for (const stream of [xen, dom0]) {
    if (stream === undefined || spans.length === 0) continue;
    const isXen = stream === xen;
    const rows = await server.rows<Row>(isXen ? XEN_EVENTS : DOM0_EVENTS, {
      trace,
      source: stream.id,
      scale: bits(stream.line.scale),
      shift: bits(stream.line.shift),
      from: spans.map((s) => bits(s.start_ns)),
      to: spans.map((s) => bits(s.start_ns + s.total_ns)),
      ...stretches(spans),
      vcpus: spans.map((s) => (isXen ? (s.vcpu ?? -1) : -1)),
      domid: scouted.domid ?? 0x1_0000,
      pids: scouted.pids,
      ports: [...scouted.vcpuOfPort.keys()],
    });
    held.set(stream.id, batchOf(rows));
  }
  return {
    manifest,
    source(id) {
      const batch = held.get(id);
      return { batches: () => (batch === undefined ? [] : [batch]) };
    },
  };
}

const COLUMNS = 'row, ts, kind, cpu, domid, vcpu, pid, addr, data, arg0, arg1, arg2, arg3';
/** Rows near a span first, then those within one: instants are as exact as here, the same doubles in the same order. */
const near = (whose: string): string =>
  'SELECT DISTINCT ts, kind, cpu, domid, vcpu, pid, toUInt32(addr) AS addr_lo, ' +
  'toUInt32(bitShiftRight(addr, 32)) AS addr_hi, toUInt32(data) AS data_lo, ' +
  'toUInt32(bitShiftRight(data, 32)) AS data_hi, arg0, arg1, arg2, arg3, row FROM (' +
  `SELECT ${COLUMNS}, span FROM (SELECT ${COLUMNS}, ` +
  'ts * reinterpretAsFloat64({scale:UInt64}) + reinterpretAsFloat64({shift:UInt64}) AS time ' +
  `FROM events WHERE trace = {trace:String} AND source = {source:String} AND ${whose} ` +
  'AND has({starts:Array(Float64)}, roundDown(time, {edges:Array(Float64)}))) ' +
  'ARRAY JOIN arrayFilter((n, a, b, v) -> time >= reinterpretAsFloat64(a) AND time <= reinterpretAsFloat64(b) ' +
  'AND (v = -1 OR v = vcpu), arrayEnumerate({from:Array(UInt64)}), {from:Array(UInt64)}, {to:Array(UInt64)}, ' +
  '{vcpus:Array(Int32)}) AS span ' +
  `ORDER BY row LIMIT ${LISTED} BY span) ORDER BY row`;

const XEN_EVENTS = near(`domid = {domid:UInt32} AND kind != ${K.XEN_OTHER}`);
const DOM0_EVENTS = near(
  `(has({pids:Array(Int64)}, pid) OR (kind IN (${K.DOM0_EVTCHN_IRQ}, ${K.DOM0_IOEVENTFD}) ` +
    'AND has({ports:Array(Int64)}, arg1)))',
);

/** Wider than what reading a number as text may be off by. */
const MARGIN_NS = 1;

/**
 * The spans' stretches of time put together, ascending: begin and end in turn, and the begins alone. The edge below an
 * instant is a begin if it lies in a stretch: one search in a short list for every event.
 */
function stretches(spans: readonly SlowSpan[]): { edges: number[]; starts: number[] } {
  const edges: number[] = [-Number.MAX_VALUE];
  const starts: number[] = [];
  const sorted = [...spans].sort((a, b) => a.start_ns - b.start_ns);
  for (const { start_ns, total_ns } of sorted) {
    const from = start_ns - MARGIN_NS;
    const to = start_ns + total_ns + MARGIN_NS;
    if (starts.length > 0 && from <= edges.at(-1)!) edges[edges.length - 1] = Math.max(edges.at(-1)!, to);
    else {
      edges.push(from, to);
      starts.push(from);
    }
  }
  return { edges, starts };
}

const float = new Float64Array(1);
const word = new BigUint64Array(float.buffer);

/** A number as its 64 bits: text that is read as a float64 may come out one unit in the last place off. */
function bits(value: number): bigint {
  float[0] = value;
  return word[0]!;
}

function batchOf(rows: readonly Row[]): EventBatch {
  const batch = new EventBatch(Math.max(1, rows.length));
  for (const row of rows) {
    const i = batch.push(row.ts, row.kind, row.cpu, row.domid, row.vcpu, row.pid);
    batch.addr[2 * i] = row.addr_lo;
    batch.addr[2 * i + 1] = row.addr_hi;
    batch.data[2 * i] = row.data_lo;
    batch.data[2 * i + 1] = row.data_hi;
    batch.arg0[i] = row.arg0;
    batch.arg1[i] = row.arg1;
    batch.arg2[i] = row.arg2;
    batch.arg3[i] = row.arg3;
  }
  return batch;
}

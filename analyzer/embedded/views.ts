import type { AxisLine } from '../../trace/axis.ts';
import { traceAxis } from '../../trace/axis.ts';
import { EVENT } from '../../trace/events.ts';
import type { DeviceFacts, Manifest } from '../../trace/manifest.ts';
import { NO_VCPU } from '../../trace/ids.ts';
import type { SpanFamily, SpanPlan } from '../../trace/spans.ts';
import { VIRTIO_MMIO_WINDOW, registerName } from '../../trace/virtio-mmio.ts';
import { SPAN_INPUT } from '../clickhouse/arrow-body.ts';
import { ident, literal } from '../clickhouse/names.ts';

/** A table that a query may name, and the SELECT that gives its rows. */
export interface TraceView {
  readonly name: string;
  readonly select: string;
}

export interface SpanRowsOf {
  readonly plan: SpanPlan;
  /** What to select from: the columns of SPAN_INPUT. */
  readonly from: readonly string[];
}

/**
 * The tables of a trace (docs/COMMANDS.md says what each holds) in ClickHouse's language, the same whether its events
 * and spans lie in Arrow files or on a server. What was not seen is NULL, so that aggregates leave it out.
 * `eventsFrom`: what to select a source's events from: the columns of EVENT_TYPES.
 */
export function traceViews(
  manifest: Manifest,
  eventsFrom: (source: string) => string,
  spans: ReadonlyMap<SpanFamily, SpanRowsOf>,
): TraceView[] {
  const axis = traceAxis(manifest);
  const events = manifest.sources.map(({ id }) => eventRows(id, eventsFrom(id), axis.line(id)));
  return [
    view(
      'events',
      events,
      `SELECT * FROM null('source String, t Nullable(Float64), name String, ${EVENT_TYPES}')`,
    ),
    ...[...spans].map(([family, { plan, from }]) =>
      view(
        `spans_${family}`,
        from.map((one) => spanRows(family, plan, manifest.devices, one)),
        spanRows(family, plan, manifest.devices, `null(${literal(SPAN_INPUT)})`),
      ),
    ),
    view(
      'devices',
      rows(
        'n UInt16, name String, kind String, base UInt64, size UInt64, spi UInt32',
        manifest.devices.map((d, n) => [n, d.name, d.kind, d.base, d.size, d.spi]),
      ),
    ),
    view(
      'sources',
      rows(
        'id String, format String, clock String, unit String, rows UInt64, lost UInt64',
        manifest.sources.map((s) => [s.id, s.format, s.clock.name, s.clock.unit, s.rows, s.lost]),
      ),
    ),
  ];
}

/** Statements that make the tables over a trace's Arrow files, for an engine in this process. */
export function viewStatements(
  manifest: Manifest,
  eventFile: (source: string) => string,
  spans: ReadonlyMap<SpanFamily, { plan: SpanPlan; files: readonly { readonly path: string }[] }>,
): string[] {
  const fromFiles = new Map(
    [...spans].map(([family, { plan, files }]) => [
      family,
      { plan, from: files.map(({ path }) => `file(${literal(path)}, 'ArrowStream')`) },
    ]),
  );
  const events = (source: string): string =>
    `file(${literal(eventFile(source))}, 'ArrowStream', ${literal(EVENT_TYPES)})`;
  return traceViews(manifest, events, fromFiles).map(
    ({ name, select }) => `CREATE VIEW ${ident(name)} AS ${select}`,
  );
}

/** Columns of events as they are stored. */
export const EVENT_TYPES =
  'ts Float64, kind UInt16, cpu UInt16, domid UInt16, vcpu UInt16, pid Int32, addr UInt64, data UInt64, ' +
  'arg0 UInt32, arg1 UInt32, arg2 UInt32, arg3 UInt32';

/** `none`: the SELECT where there is nothing to read. */
function view(name: string, selects: readonly string[], none?: string): TraceView {
  const all = selects.length === 0 && none !== undefined ? [none] : selects;
  return { name, select: all.join(' UNION ALL ') };
}

/** Empty tables have no file that could be read: a source without events has one all the same. */
function eventRows(id: string, from: string, line: AxisLine | undefined): string {
  const t = line === undefined ? 'NULL' : `ts * ${float(line.scale)} + ${float(line.shift)}`;
  const kinds = Object.values(EVENT);
  const name = `transform(kind, ${list(kinds.map((k) => String(k.id)))}, ${list(kinds.map((k) => literal(k.name)))}, '')`;
  return (
    `SELECT ${literal(id)} AS source, CAST(${line === undefined ? t : seen(t)} AS Nullable(Float64)) AS t, ` +
    `${name} AS name, * FROM ${from}`
  );
}

function spanRows(family: SpanFamily, plan: SpanPlan, devices: readonly DeviceFacts[], from: string): string {
  const names = list(devices.map((d) => literal(d.name)));
  const device =
    devices.length === 0
      ? 'CAST(NULL AS Nullable(String))'
      : `if(device < ${devices.length}, arrayElement(${names}, device + 1), NULL)`;
  const [zero, one] = family === 'request' ? ['out', 'in'] : ['write', 'read'];
  const columns = [
    'start',
    `${seen('total')} AS total`,
    `${device} AS device`,
    `key`,
    ...(family === 'mmio' ? [`${register()} AS register`] : []),
    `nullIf(vcpu, ${NO_VCPU}) AS vcpu`,
    `multiIf(dir = 0, '${zero}', dir = 1, '${one}', NULL) AS direction`,
    ...['type', 'flags', 'amount', 'value', 'group'].map(ident),
    ...plan.boundaries.map((b, k) => `${seen(`at[${k + 1}]`)} AS ${ident(b.name)}`),
    ...plan.preempted.map((from_, k) => `${seen(`preempted[${k + 1}]`)} AS ${ident(`preempted_${from_}`)}`),
  ];
  // `total` in an expression is the file's column, not the one named so here.
  return `SELECT ${columns.join(', ')} FROM ${from} SETTINGS prefer_column_name_to_alias = 1`;
}

/** Offsets in a device's window by name. */
function register(): string {
  const offsets = Array.from({ length: VIRTIO_MMIO_WINDOW }, (_, n) => n);
  return (
    `transform(key, ${list(offsets.map(String))}, ${list(offsets.map((o) => literal(registerName(o))))}, ` +
    `concat('0x', lower(hex(key))))`
  );
}

function rows(structure: string, values: readonly (readonly (string | number)[])[]): string[] {
  if (values.length === 0) return [`SELECT * FROM null(${literal(structure)})`];
  const tuples = values.map(
    (row) => `(${row.map((v) => (typeof v === 'string' ? literal(v) : String(v))).join(', ')})`,
  );
  return [`SELECT * FROM values(${literal(structure)}, ${tuples.join(', ')})`];
}

const seen = (expression: string): string => `if(isNaN(${expression}), NULL, ${expression})`;

const list = (items: readonly string[]): string => `[${items.join(', ')}]`;

const bits = new DataView(new ArrayBuffer(8));

/** To the last bit: the engine's own reading of decimals may be off by one. */
function float(value: number): string {
  bits.setFloat64(0, value);
  return `reinterpretAsFloat64(toUInt64(${bits.getBigUint64(0)}))`;
}

/**
 * The tables of the database. A trace is a set of rows that bear its id; `traces` gets its row last, and what has no
 * row there is not seen by any analysis.
 *
 * Codecs are by measurement (npm run bench:load): times of one kind of event on one vCPU ascend, so that their
 * differences are small; the rest repeats. `row` is the place in the source's file: it orders events of one instant.
 */
export interface Table {
  readonly name: string;
  readonly columns: readonly (readonly [name: string, type: string, codec?: string])[];
  /** 'rows': inserted in blocks, once each; 'facts': a later row replaces one of the same key. */
  readonly engine: 'rows' | 'facts';
  readonly order: readonly string[];
  /** A partition a trace: it can be dropped whole, and merges never mix traces. */
  readonly partitioned: boolean;
}

const DELTA = 'Delta(8), ZSTD(1)';
const ZSTD = 'ZSTD(1)';

export const TABLES: readonly Table[] = [
  {
    name: 'events',
    engine: 'rows',
    partitioned: true,
    // A pass reads few kinds of event: of each a contiguous stretch, vCPU by vCPU in order of time. The trace is the
    // partition and the source nearly follows from the kind: with both in the key sorting took twice the time.
    order: ['kind', 'domid', 'vcpu', 'row'],
    columns: [
      ['trace', 'LowCardinality(String)', ZSTD],
      ['source', 'LowCardinality(String)', ZSTD],
      ['row', 'UInt64', DELTA],
      ['ts', 'Float64', DELTA],
      ['kind', 'UInt16', ZSTD],
      ['cpu', 'UInt16', ZSTD],
      ['domid', 'UInt16', ZSTD],
      ['vcpu', 'UInt16', ZSTD],
      ['pid', 'Int32', ZSTD],
      ['addr', 'UInt64', ZSTD],
      ['data', 'UInt64', ZSTD],
      ['arg0', 'UInt32', ZSTD],
      ['arg1', 'UInt32', ZSTD],
      ['arg2', 'UInt32', ZSTD],
      ['arg3', 'UInt32', ZSTD],
    ],
  },
  {
    name: 'spans',
    engine: 'rows',
    partitioned: true,
    order: ['family', 'device', 'start'],
    columns: [
      ['trace', 'LowCardinality(String)', ZSTD],
      ['family', 'LowCardinality(String)', ZSTD],
      ['start', 'Float64', DELTA],
      ['total', 'Float64', ZSTD],
      ['device', 'UInt16', ZSTD],
      ['key', 'UInt32', ZSTD],
      ['vcpu', 'UInt16', ZSTD],
      ['dir', 'UInt8', ZSTD],
      ['type', 'UInt8', ZSTD],
      ['flags', 'UInt16', ZSTD],
      ['amount', 'UInt32', ZSTD],
      ['value', 'UInt32', ZSTD],
      ['group', 'UInt32', ZSTD],
      ['at', 'Array(Float64)', ZSTD],
      ['preempted', 'Array(Float64)', ZSTD],
    ],
  },
  {
    name: 'traces',
    engine: 'facts',
    partitioned: false,
    order: ['trace'],
    columns: [
      ['trace', 'String'],
      ['loaded', 'DateTime64(3)'],
      ['tool', 'String'],
      ['path', 'String'],
      ['created', 'String'],
      ['events', 'UInt64'],
      ['labels', 'Map(String, String)'],
      ['warnings', 'Array(String)'],
      ['manifest', 'String', 'ZSTD(3)'],
      ['plans', 'String', 'ZSTD(3)'],
      ['results', 'String', 'ZSTD(3)'],
      ['facts', 'String', 'ZSTD(3)'],
      ['passes', 'String'],
    ],
  },
  {
    name: 'sources',
    engine: 'facts',
    partitioned: false,
    order: ['trace', 'source'],
    columns: [
      ['trace', 'String'],
      ['loaded', 'DateTime64(3)'],
      ['source', 'String'],
      ['format', 'String'],
      ['clock', 'String'],
      ['unit', 'String'],
      ['epoch', 'String'],
      ['placed', 'UInt8'],
      ['scale', 'Float64'],
      ['shift', 'Float64'],
      ['rows', 'UInt64'],
      ['lost', 'UInt64'],
    ],
  },
  {
    name: 'strings',
    engine: 'facts',
    partitioned: false,
    order: ['trace', 'source', 'id'],
    columns: [
      ['trace', 'String'],
      ['loaded', 'DateTime64(3)'],
      ['source', 'String'],
      ['id', 'UInt32'],
      ['text', 'String'],
    ],
  },
  {
    name: 'devices',
    engine: 'facts',
    partitioned: false,
    order: ['trace', 'n'],
    columns: [
      ['trace', 'String'],
      ['loaded', 'DateTime64(3)'],
      ['n', 'UInt16'],
      ['name', 'String'],
      ['kind', 'String'],
      ['base', 'UInt64'],
      ['size', 'UInt64'],
      ['spi', 'UInt32'],
    ],
  },
];

import { JsonValue } from './json-check.ts';

/** Why a recording ended; in words in the manifest (`ended`). */
export const ENDED = {
  running: 'the recorder died before it could seal the trace',
  duration: 'the time asked for was over',
  interrupted: 'interrupted (Ctrl-C)',
  terminated: 'the recorder was asked to terminate',
  domain: 'the domain is gone',
  deviceModel: 'the device model is gone',
  connection: 'the connection to the host broke',
  disk: 'the disk is full',
  trigger: 'the trigger fired',
  host: 'recording on the host failed',
} as const;
export type EndReason = keyof typeof ENDED;

/**
 * Which trace points the recorded Xen on Arm has: `all` = those of docs/XEN-PATCH.md, `some` = older ones that do not
 * tell the domains' counter offsets, `none`.
 */
export const TRACE_POINTS = ['all', 'some', 'none'] as const;
export type TracePoints = (typeof TRACE_POINTS)[number];

/** What a recording of guest memory for replay was like (docs/RECORDING.md). */
export interface MemoryFacts {
  /** What buffers held was recorded; false: lengths and hashes. */
  payload: boolean;
  /** ioreqs answered, interrupt lines set. */
  ioreqs: number;
  lines: number;
  /** How many times as long as by itself an ioreq took in the device model, at least. Absent if not known. */
  slower?: number;
  /** Devices that were in use already, whose set-up was synthesised; chains that they had not used then. */
  synthesised: number;
  inFlight: number;
  /** Used elements whose buffers may have changed before they were copied. */
  racy: number;
  /** Chains and rings that could not be recorded. */
  lost: number;
}

export const RECORDING_FORMAT = 'ioreq-trace-recording';

/**
 * What the recorder knows and no raw file says. Read again when the trace is sealed (collector/host), so that a
 * recording whose recorder was killed can be sealed by anyone.
 */
export interface RecordingFile {
  format: typeof RECORDING_FORMAT;
  tool: { name: string; version: string };
  /** RFC 3339. */
  started: string;
  state: EndReason;
  /** The process that records, on the machine of that name: so that nobody seals what is still being written. */
  recorder: { pid: number; start: string; machine: string };
  /** More about the end: what was refused, which process died. */
  detail?: string;
  /** What the trigger saw, if one was set and fired. */
  triggered?: string;
  /** Only the last so many raw bytes were kept: what came before shows as lost. */
  flightBytes?: number;
  /** Devices that were recorded, by name; all if empty. */
  only?: readonly string[];
  /** As far as was seen; absent if nobody looked. */
  tracePoints?: TracePoints;
  /** CNTPCT - CNTVCT of Dom0 in ticks, decimal, as Xen told when tracing began: a flight recording may have lost it. */
  dom0Offset?: string;
  /** Guest memory was recorded, too: its device models were slowed down by that. */
  memory?: MemoryFacts;
  domid: number;
  domain: string;
  vcpus: number;
  counterHz?: number;
  xenVersion?: string;
  linuxVersion: string;
  machine: string;
  hooks: readonly string[];
  refused: readonly { hook: string; why: string }[];
  devices: { kind: string; base: number; spi: number }[];
  deviceModels: { pid: number; name: string; threads: { tid: number; name: string }[] }[];
  /** Files written on the host, with their values. */
  changes: readonly { what: string; value: string; undo: string }[];
  warnings: string[];
}

/** The part of it that a sealed trace keeps. */
export type RecordingFacts = Pick<
  RecordingFile,
  | 'started'
  | 'state'
  | 'detail'
  | 'domain'
  | 'hooks'
  | 'refused'
  | 'triggered'
  | 'flightBytes'
  | 'only'
  | 'tracePoints'
  | 'memory'
>;

const END_REASONS = Object.keys(ENDED) as EndReason[];

export function checkRecordingFacts(root: JsonValue): RecordingFacts {
  const detail = root.maybe('detail', (item) => item.text(4096));
  const triggered = root.maybe('triggered', (item) => item.text(4096));
  const flightBytes = root.maybe('flightBytes', (item) => item.integer(0));
  const only = root.maybe('only', (item) => item.list((name) => name.text(200), 65_535));
  const tracePoints = root.maybe('tracePoints', (item) => item.oneOf(TRACE_POINTS));
  const memory = root.maybe('memory', checkMemoryFacts);
  return {
    started: root.get('started').text(64),
    state: root.get('state').oneOf(END_REASONS),
    ...(detail === undefined ? {} : { detail }),
    ...(triggered === undefined ? {} : { triggered }),
    ...(flightBytes === undefined ? {} : { flightBytes }),
    ...(only === undefined ? {} : { only }),
    ...(tracePoints === undefined ? {} : { tracePoints }),
    ...(memory === undefined ? {} : { memory }),
    domain: root.get('domain').text(4096),
    hooks: root.get('hooks').list((item) => item.text(64), 64),
    refused: root
      .get('refused')
      .list((item) => ({ hook: item.get('hook').text(64), why: item.get('why').text(4096) }), 256),
  };
}

function checkMemoryFacts(root: JsonValue): MemoryFacts {
  const count = (key: string): number => root.get(key).integer(0);
  const slower = root.maybe('slower', (item) => item.number(0));
  return {
    payload: root.get('payload').flag(),
    ioreqs: count('ioreqs'),
    lines: count('lines'),
    ...(slower === undefined ? {} : { slower }),
    synthesised: count('synthesised'),
    inFlight: count('inFlight'),
    racy: count('racy'),
    lost: count('lost'),
  };
}

/** Parses the recorder's file. Throws E_TRACE_DAMAGED with the JSON path. */
export function parseRecordingFile(text: string, file: string): RecordingFile {
  const root = new JsonValue(parse(text, file), '$', file);
  const hz = root.maybe('counterHz', (item) => item.number(1, 1e12));
  const xen = root.maybe('xenVersion', (item) => item.text(200));
  const dom0Offset = root.maybe('dom0Offset', (item) => item.decimal());
  const count = (key: string, most: number) => (item: JsonValue) => item.get(key).integer(0, most);
  return {
    format: root.get('format').oneOf([RECORDING_FORMAT]),
    ...checkRecordingFacts(root),
    tool: {
      name: root.get('tool').get('name').text(200),
      version: root.get('tool').get('version').text(200),
    },
    recorder: {
      pid: root.get('recorder').get('pid').integer(),
      start: root.get('recorder').get('start').text(32),
      machine: root.get('recorder').get('machine').text(256),
    },
    domid: count('domid', 0x7fff)(root),
    vcpus: count('vcpus', 65_535)(root),
    ...(hz === undefined ? {} : { counterHz: hz }),
    ...(xen === undefined ? {} : { xenVersion: xen }),
    ...(dom0Offset === undefined ? {} : { dom0Offset }),
    linuxVersion: root.get('linuxVersion').text(200),
    machine: root.get('machine').text(200),
    devices: root.get('devices').list((item) => ({
      kind: item.get('kind').text(200),
      base: item.get('base').integer(0, 2 ** 52),
      spi: item.get('spi').integer(0, 0xffff),
    })),
    deviceModels: root.get('deviceModels').list((item) => ({
      pid: item.get('pid').integer(),
      name: item.get('name').text(200),
      threads: item
        .get('threads')
        .list((thread) => ({ tid: thread.get('tid').integer(), name: thread.get('name').text(200) }), 65_536),
    })),
    changes: root.get('changes').list((item) => ({
      what: item.get('what').text(),
      value: item.get('value').text(),
      undo: item.get('undo').text(),
    })),
    warnings: root.get('warnings').list((item) => item.text()),
  };
}

function parse(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return new JsonValue(undefined, '$', file).fail('whole JSON');
  }
}

export function recordingFacts(recording: RecordingFile): RecordingFacts {
  const {
    started,
    state,
    detail,
    triggered,
    flightBytes,
    only,
    tracePoints,
    memory,
    domain,
    hooks,
    refused,
  } = recording;
  return {
    started,
    state,
    ...(detail === undefined ? {} : { detail }),
    ...(triggered === undefined ? {} : { triggered }),
    ...(flightBytes === undefined ? {} : { flightBytes }),
    ...(only === undefined ? {} : { only }),
    ...(tracePoints === undefined ? {} : { tracePoints }),
    ...(memory === undefined ? {} : { memory }),
    domain,
    hooks,
    refused,
  };
}

/** In words, for the manifest and for people. */
export function howItEnded({ state, detail }: Pick<RecordingFile, 'state' | 'detail'>): string {
  return detail === undefined ? ENDED[state] : `${ENDED[state]} (${detail})`;
}

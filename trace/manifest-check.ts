import { JsonValue } from './json-check.ts';
import type {
  ClockEstimate,
  ClockRelation,
  DeviceFacts,
  Findings,
  HostFacts,
  LogClock,
  Manifest,
  SourceFacts,
} from './manifest.ts';
import { FORMAT_VERSION } from './manifest.ts';
import { checkRecordingFacts } from './recording-facts.ts';
import { isSourceId } from './source-id.ts';

const MAX_DOMID = 0x7fff;
const MAX_ADDRESS = 2 ** 52;
const MAX_SOURCES = 256;

/**
 * A manifest of the present version, checked field by field: what is given back has every field of the type
 * that Manifest says, whoever wrote the file. Fields that are not known are dropped.
 * Throws E_TRACE_DAMAGED with the JSON path.
 */
export function checkManifest(raw: unknown, file: string): Manifest {
  const root = new JsonValue(raw, '$', file);
  root.get('format').oneOf(['ioreq-trace']);
  root.get('version').integer(FORMAT_VERSION, FORMAT_VERSION);
  const manifest: Manifest = {
    format: 'ioreq-trace',
    version: FORMAT_VERSION,
    tool: {
      name: root.get('tool').get('name').text(200),
      version: root.get('tool').get('version').text(200),
    },
    created: root.get('created').text(64),
    complete: root.get('complete').flag(),
    ended: root.get('ended').text(),
    host: checkHost(root.get('host')),
    devices: root.get('devices').list(checkDevice, 65_535),
    deviceModels: root.get('deviceModels').list(checkDeviceModel),
    tasks: root.get('tasks').table((item) => item.text(4096)),
    sources: root.get('sources').list(checkSource, MAX_SOURCES),
    unknownFiles: root.get('unknownFiles').list((item) => item.text()),
    warnings: root.get('warnings').list((item) => item.text()),
    ...defined({
      domid: root.maybe('domid', (item) => item.integer(0, MAX_DOMID)),
      vcpus: root.maybe('vcpus', (item) => item.integer(0, 65_535)),
      clock: root.maybe('clock', checkClock),
      logClock: root.maybe('logClock', checkLogClock),
      recording: root.maybe('recording', checkRecordingFacts),
      findings: root.maybe('findings', checkFindings),
    }),
  };
  const seen = new Set<string>();
  manifest.sources.forEach(({ id }, i) => {
    if (seen.has(id))
      root
        .get('sources')
        .list((item) => item)
        [i]!.get('id')
        .fail('an id that no other source has');
    seen.add(id);
  });
  return manifest;
}

function checkFindings(findings: JsonValue): Findings {
  return {
    from: findings.get('from').text(65_536),
    ...defined({ domid: findings.maybe('domid', (item) => item.integer(0, MAX_DOMID)) }),
    vcpus: findings.get('vcpus').integer(0, 65_535),
    pids: findings.get('pids').list((item) => item.integer(-1, 2 ** 31 - 1), 65_535),
    ports: findings
      .get('ports')
      .list(
        (item) => ({ port: item.get('port').integer(), vcpu: item.get('vcpu').integer(0, 65_535) }),
        65_535,
      ),
    portsBy: findings.get('portsBy').text(64),
    answers: findings.get('answers').integer(),
  };
}

function checkHost(host: JsonValue): HostFacts {
  const text = (key: string): string | undefined => host.maybe(key, (item) => item.text(4096));
  return defined({
    xenVersion: text('xenVersion'),
    linuxVersion: text('linuxVersion'),
    machine: text('machine'),
    counterHz: host.maybe('counterHz', (item) => item.number(1, 1e12)),
    deviceModel: text('deviceModel'),
  });
}

function checkDevice(device: JsonValue): DeviceFacts {
  return {
    name: device.get('name').text(200),
    kind: device.get('kind').text(200),
    base: device.get('base').integer(0, MAX_ADDRESS),
    size: device.get('size').integer(1, MAX_ADDRESS),
    spi: device.get('spi').integer(0, 0xffff),
    ...defined({
      origin: device.maybe('origin', (item) => item.oneOf(['xenstore', 'events'])),
      spiDerived: device.maybe('spiDerived', (item) => item.flag()),
    }),
  };
}

function checkDeviceModel(model: JsonValue): Manifest['deviceModels'][number] {
  return {
    pid: model.get('pid').integer(0, 2 ** 31),
    name: model.get('name').text(4096),
    threads: model.get('threads').list((item) => item.integer(0, 2 ** 31)),
  };
}

function checkSource(source: JsonValue): SourceFacts {
  const id = source.get('id');
  if (!isSourceId(id.text(200))) id.fail('letters, digits and dashes, 64 at most');
  const clock = source.get('clock');
  const count = (item: JsonValue): number => item.integer();
  return {
    id: id.text(),
    format: source.get('format').text(200),
    files: source.get('files').list((item) => item.text()),
    clock: {
      name: clock.get('name').text(200),
      unit: clock.get('unit').oneOf(['ticks', 'ns', 'us', 'none']),
      epoch: clock.get('epoch').decimal(),
      ...defined({ hz: clock.maybe('hz', (item) => item.number(1, 1e12)) }),
    },
    rows: count(source.get('rows')),
    records: count(source.get('records')),
    kinds: source.get('kinds').table(count),
    rawNames: source.get('rawNames').table(count),
    firstTs: source.get('firstTs').number(),
    lastTs: source.get('lastTs').number(),
    lost: count(source.get('lost')),
    losses: source.get('losses').list((loss) => ({
      ...defined({ cpu: loss.maybe('cpu', (item) => item.integer(0, 0xffff)) }),
      count: count(loss.get('count')),
      ts: loss.get('ts').value === null ? null : loss.get('ts').number(),
    })),
    strings: source.get('strings').list((item) => item.text()),
    errors: source.get('errors').list((item) => ({
      code: item.get('code').text(64),
      message: item.get('message').text(),
    })),
  };
}

function checkClock(clock: JsonValue): ClockRelation {
  return {
    xen: clock.get('xen').text(200),
    dom0: clock.get('dom0').text(200),
    ...checkEstimate(clock),
    referenceDom0Ns: clock.get('referenceDom0Ns').decimal(),
    ...defined({
      exact: clock.maybe('exact', (item) => item.flag()),
      estimate: clock.maybe('estimate', checkEstimate),
      warning: clock.maybe('warning', (item) => item.text()),
    }),
  };
}

function checkEstimate(clock: JsonValue): ClockEstimate {
  return {
    offsetNs: clock.get('offsetNs').number(),
    errorNs: clock.get('errorNs').number(0),
    maxErrorNs: clock.get('maxErrorNs').number(0),
    rate: clock.get('rate').number(-1, 1),
    methods: clock.get('methods').list((method) => ({
      name: method.get('name').text(200),
      pairs: method.get('pairs').integer(),
    })),
  };
}

function checkLogClock(clock: JsonValue): LogClock {
  return {
    log: clock.get('log').text(200),
    dom0: clock.get('dom0').text(200),
    offsetNs: clock.get('offsetNs').decimal(),
    errorNs: clock.get('errorNs').number(0),
    maxErrorNs: clock.get('maxErrorNs').number(0),
    rate: clock.get('rate').number(-1, 1),
    referenceDom0Ns: clock.get('referenceDom0Ns').decimal(),
    pairs: clock.get('pairs').integer(),
    ...defined({
      steadyErrorNs: clock.maybe('steadyErrorNs', (item) => item.number(0)),
      warning: clock.maybe('warning', (item) => item.text()),
    }),
  };
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The object without the members that are undefined: exactOptionalPropertyTypes tells the two apart. */
function defined<T extends object>(fields: T): Defined<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>;
}

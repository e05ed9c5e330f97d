import type { ClockRelation, LogClock, Manifest, SourceFacts } from '../../trace/manifest.ts';
import type { OpenTrace } from '../../trace/open.ts';
import type { MemoryFacts } from '../../trace/recording-facts.ts';
import { escapeText } from './escape.ts';
import { tracePointsText } from './record-summary.ts';
import type { Style } from './style.ts';
import { table } from './table.ts';
import { bytes, count, duration, frequency, hex } from './units.ts';

/** `trace info` for people. Every text that comes from the trace is escaped. */
export function infoText(trace: OpenTrace, style: Style): string {
  const { manifest } = trace;
  const title = (text: string): string => style.bold(text);
  const parts = [
    facts(trace),
    section(title('Devices'), devices(manifest)),
    section(title('Sources'), sources(manifest)),
    section(title('Clocks'), clocks(manifest)),
    section(title('Lost records'), losses(manifest)),
    section(title('Errors in the raw files'), errors(manifest)),
    section(title('Events by kind'), kinds(manifest)),
    section(title('Files not used'), manifest.unknownFiles.map((file) => `  ${escapeText(file)}`).join('\n')),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function section(title: string, body: string): string {
  return body === '' ? '' : `${title}\n${body}`;
}

function facts({ dir, manifest, writtenAs }: OpenTrace): string {
  const { host, tool, domid, vcpus, deviceModels } = manifest;
  const state = manifest.complete ? manifest.ended : `NOT FINISHED (${manifest.ended})`;
  const lines: [string, string][] = [
    ['trace', dir],
    ['format', `version ${writtenAs}, written by ${tool.name} ${tool.version} at ${manifest.created}`],
    ['state', state],
    ['host', hostText(host)],
    [
      'domain',
      domid === undefined
        ? 'not known'
        : `${domid}${vcpus === undefined ? '' : `, ${plural(vcpus, 'vCPU')}`}`,
    ],
  ];
  for (const { pid, name, threads } of deviceModels) {
    const others = threads.length > 1 ? `, ${threads.length} threads` : '';
    lines.push(['device model', `${name === '' ? '(no name)' : name}, pid ${pid}${others}`]);
  }
  const { recording } = manifest;
  if (recording !== undefined) {
    const { started, domain, hooks, refused, triggered, flightBytes, only = [] } = recording;
    lines.push(['recorded', `domain ${domain} from ${started}, hooks ${hooks.join(', ')}`]);
    const { tracePoints } = recording;
    if (tracePoints !== undefined) lines.push(['trace points', tracePointsText(tracePoints)]);
    for (const { hook, why } of refused) lines.push(['without', `${hook}: ${why}`]);
    if (only.length > 0) lines.push(['only', `accesses to ${only.join(', ')}`]);
    if (flightBytes !== undefined) lines.push(['kept', `the last ${bytes(flightBytes)} of raw records`]);
    if (triggered !== undefined) lines.push(['trigger', triggered]);
    if (recording.memory !== undefined) lines.push(...memoryLines(recording.memory));
  }
  const width = Math.max(...lines.map(([key]) => key.length));
  return lines.map(([key, value]) => `${key.padEnd(width)}  ${escapeText(value)}`).join('\n');
}

/** How far a recording with memory can be replayed, and what it cost the guest. */
function memoryLines(facts: MemoryFacts): [string, string][] {
  const { payload, ioreqs, lines, slower, synthesised, inFlight, racy, lost } = facts;
  const of = payload
    ? 'rings, chains and what buffers hold'
    : 'rings and chains; of buffers length and hash only';
  const level = payload ? 'rings with memory' : 'registers only';
  const exact =
    racy + lost === 0 ? 'every chain exact' : `${racy} may have raced with the guest, ${lost} not recorded`;
  const result: [string, string][] = [
    ['memory', `${of}; ${exact}`],
    ['replays', `${level}; accesses ${ioreqs}, changes of interrupt lines ${lines}`],
  ];
  if (synthesised > 0) {
    const open = inFlight === 0 ? '' : `, ${inFlight} buffers with them`;
    result.push([
      'attached',
      `${plural(synthesised, 'device')} in use already${open}: set-up as the device model told`,
    ]);
  }
  if (slower !== undefined) result.push(['slowed', `an ioreq took at least ${slower} times as long`]);
  return result;
}

function hostText({ xenVersion, linuxVersion, machine, counterHz, deviceModel }: Manifest['host']): string {
  const parts: string[] = [];
  if (xenVersion !== undefined) parts.push(`Xen ${xenVersion}`);
  if (linuxVersion !== undefined) parts.push(`Linux ${linuxVersion}`);
  if (machine !== undefined) parts.push(machine);
  if (deviceModel !== undefined) parts.push(deviceModel);
  parts.push(counterHz === undefined ? 'counter frequency not known' : `counter ${frequency(counterHz)}`);
  return parts.join(', ');
}

function devices({ devices: list }: Manifest): string {
  if (list.length === 0) return '';
  return table(
    [
      { title: 'name' },
      { title: 'kind' },
      { title: 'base' },
      { title: 'size', right: true },
      { title: 'SPI', right: true },
      { title: 'known from' },
    ],
    list.map((device) => [
      escapeText(device.name),
      escapeText(device.kind),
      hex(device.base),
      hex(device.size, 1),
      device.spi === 0 ? '-' : String(device.spi),
      `${device.origin ?? '-'}${device.spiDerived === true ? " (SPI from Xen's layout)" : ''}`,
    ]),
  );
}

function sources(manifest: Manifest): string {
  if (manifest.sources.length === 0) return '';
  return table(
    [
      { title: 'id' },
      { title: 'format' },
      { title: 'events', right: true },
      { title: 'records', right: true },
      { title: 'lost', right: true },
      { title: 'errors', right: true },
      { title: 'clock' },
      { title: 'duration', right: true },
      { title: 'files' },
    ],
    manifest.sources.map((source) => [
      source.id,
      escapeText(source.format),
      count(source.rows),
      count(source.records),
      count(source.lost),
      count(source.errors.length),
      source.clock.unit === 'none' ? 'none' : `${escapeText(source.clock.name)} (${source.clock.unit})`,
      duration(lengthNs(source, manifest)),
      filesText(source.files),
    ]),
  );
}

/** From first to last event, NaN if the source has no times or their unit is not known. */
function lengthNs({ clock, firstTs, lastTs }: SourceFacts, { host }: Manifest): number {
  const hz =
    clock.unit === 'ns'
      ? 1e9
      : clock.unit === 'us'
        ? 1e6
        : (clock.hz ?? (clock.name === 'xen' ? host.counterHz : undefined));
  if (clock.unit === 'none' || hz === undefined) return NaN;
  return ((lastTs - firstTs) / hz) * 1e9;
}

function filesText(files: readonly string[]): string {
  const names = files.map((file) => escapeText(file.split('/').at(-1) ?? file));
  return names.length > 4 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');
}

function clocks({ clock, logClock }: Manifest): string {
  const parts = [];
  if (clock !== undefined) parts.push(clockText(clock));
  if (logClock !== undefined) parts.push(logClockText(logClock));
  return parts.join('\n');
}

function logClockText({
  log,
  dom0,
  offsetNs,
  errorNs,
  maxErrorNs,
  steadyErrorNs,
  rate,
  pairs,
  warning,
}: LogClock): string {
  const lines = [
    `  ${escapeText(log)} = ${escapeText(dom0)} + ${(Number(offsetNs) / 1e9).toFixed(6)} s, events within ` +
      `±${duration(errorNs)} at the first ioreq, ±${duration(maxErrorNs)} at worst` +
      (steadyErrorNs === undefined ? '; ' : ` (±${duration(steadyErrorNs)} if its clock kept one rate); `) +
      `drift ${(rate * 1e6).toPrecision(3)} ppm`,
    `  ${count(pairs)} bounds: read of the event channel <= ioreq in the log <= notify entry`,
  ];
  if (warning !== undefined) lines.push(`  doubtful: ${escapeText(warning)}`);
  return lines.join('\n');
}

function clockText({
  xen,
  dom0,
  offsetNs,
  errorNs,
  maxErrorNs,
  rate,
  methods,
  exact,
  estimate,
  warning,
}: ClockRelation): string {
  const lines = [
    `  ${escapeText(xen)} = ${escapeText(dom0)} + ${(offsetNs / 1e9).toFixed(9)} s, within ±${duration(errorNs)} ` +
      `at the beginning, ±${duration(maxErrorNs)} at worst; drift ${(rate * 1e9).toPrecision(3)} ppb`,
    ...methods.map(
      ({ name, pairs }) =>
        `  ${count(pairs)} ${exact === true ? 'samples, exact' : 'bounds'}: ${escapeText(name)}`,
    ),
  ];
  if (estimate !== undefined) {
    const off = Math.abs(estimate.offsetNs - offsetNs);
    lines.push(
      `  an unpatched Xen would have given ±${duration(estimate.maxErrorNs)}: ${duration(off)} off the truth`,
    );
  }
  if (warning !== undefined) lines.push(`  doubtful: ${escapeText(warning)}`);
  return lines.join('\n');
}

function losses(manifest: Manifest): string {
  const rows: string[][] = [];
  for (const { id, losses: list } of manifest.sources) {
    const byCpu = new Map<string, { places: number; records: number }>();
    for (const { cpu, count: records } of list) {
      const key = cpu === undefined ? '-' : String(cpu);
      const sum = byCpu.get(key) ?? { places: 0, records: 0 };
      byCpu.set(key, { places: sum.places + 1, records: sum.records + Math.max(1, records) });
    }
    for (const [cpu, { places, records }] of byCpu) rows.push([id, cpu, count(places), count(records)]);
  }
  if (rows.length === 0) return '';
  const right = true;
  return table(
    [{ title: 'source' }, { title: 'CPU', right }, { title: 'places', right }, { title: 'records', right }],
    rows,
  );
}

function errors(manifest: Manifest): string {
  return manifest.sources
    .flatMap((source) =>
      source.errors.map(({ code, message }) => `  ${source.id}: ${escapeText(`${code}: ${message}`)}`),
    )
    .join('\n');
}

function kinds({ sources: list }: Manifest): string {
  const names = new Set(list.flatMap((source) => Object.keys(source.kinds)));
  if (names.size === 0) return '';
  const columns = [{ title: 'kind' }, ...list.map((source) => ({ title: source.id, right: true }))];
  const rows = [...names]
    .sort()
    .map((name) => [
      escapeText(name),
      ...list.map((source) => (source.kinds[name] === undefined ? '' : count(source.kinds[name]))),
    ]);
  return table(columns, rows);
}

function plural(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

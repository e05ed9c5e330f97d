import type {
  Distribution,
  EndToEndStage,
  FamilyReport,
  GroupReport,
  HistogramBucket,
  LineReport,
  Report,
  SlowSpan,
  StageReport,
  TargetReport,
} from '../../analyzer/report/document.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import { escapeText } from './escape.ts';
import { estimatesText } from './estimates-text.ts';
import type { Style } from './style.ts';
import type { Column } from './table.ts';
import { table } from './table.ts';
import { bytes, count, duration } from './units.ts';

/** The report as a person reads it: what was seen, the three families with their stages, the slowest spans. */
export function reportText(report: Report, style: Style): string {
  const parts = [
    heading(report, style),
    family('MMIO trap latency', report.mmio, style),
    interrupts(report, style),
    injection(report, style),
    family('Virtio requests', report.requests, style, requestNotes(report)),
    estimatesText(report.estimates, style),
    groups(report, style),
    slowest(report, style),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function heading({ trace, clock, counts, devices }: Report, style: Style): string {
  const { host } = trace;
  const lines = [
    style.bold(escapeText(trace.path)) +
      facts([
        trace.domid === null ? 'domain not known' : `domid ${trace.domid}`,
        trace.vcpus === 1 ? '1 vCPU' : `${trace.vcpus} vCPUs`,
        duration(trace.duration_ns),
        host.xenVersion === undefined ? '' : `Xen ${host.xenVersion}`,
        host.linuxVersion === undefined ? '' : `Linux ${host.linuxVersion}`,
        `${count(counts.events)} events`,
        counts.lost === 0 ? 'nothing lost' : `${count(counts.lost)} LOST`,
      ]),
    `${count(counts.ioreqs)} ioreqs: ${count(counts.reads)} reads, ${count(counts.writes)} writes` +
      (counts.invalidates > 0 ? `, ${count(counts.invalidates)} INVALIDATE` : '') +
      (counts.unknown_content > 0 ? `, ${count(counts.unknown_content)} of unknown content` : '') +
      `; ${count(counts.notifies)} notifies, ${count(counts.interrupts)} interrupts, ${count(counts.raises)} raises`,
  ];
  if (counts.answered_by_ioeventfd > 0 || counts.raised_by_irqfd > 0) {
    lines.push(
      `in Dom0's kernel: ${count(counts.answered_by_ioeventfd)} kicks answered by ioeventfd` +
        `, ${count(counts.raised_by_irqfd)} interrupts raised by irqfd`,
    );
  }
  for (const s of counts.by_source)
    lines.push(style.dim(`  ${count(s.ioreqs).padStart(10)}  ${s.what} (${escapeText(s.source)})`));
  if (devices.length > 0) {
    const list = devices.map(
      (d) =>
        `${escapeText(d.name)} 0x${d.base.toString(16).padStart(8, '0')}${d.spi > 0 ? ` SPI ${d.spi}` : ''}`,
    );
    lines.push(`devices  ${list.join(' · ')}`);
  }
  if (clock.offset_ns !== null && clock.error_ns !== null) {
    lines.push(
      `clock    Xen − Dom0 = ${(clock.offset_ns / 1e9).toFixed(9)} s ± ${duration(clock.error_ns)} (certain)`,
    );
  }
  if (clock.log_offset_ns !== null && clock.log_error_ns !== null) {
    const steady = clock.log_steady_error_ns;
    lines.push(
      `clock    log − Dom0 = ${(clock.log_offset_ns / 1e9).toFixed(6)} s; its events are placed ± ` +
        (steady === null ? '' : `${duration(steady)} if its clock kept one rate, ± `) +
        `${duration(clock.log_max_error_ns ?? NaN)} if it was slewed by no more than 1000 ppm`,
    );
  }
  if (clock.log_warning !== null) lines.push(style.yellow(`clock    ${escapeText(clock.log_warning)}`));
  if (clock.warning !== null) lines.push(style.yellow(`clock    ${escapeText(clock.warning)}`));
  return lines.join('\n');
}

function facts(list: readonly string[]): string {
  return list
    .filter((text) => text !== '')
    .map((text) => ` · ${escapeText(text)}`)
    .join('');
}

const NUMBERS: readonly Column[] = ['n', 'mean', 'p50', 'p90', 'p99', 'p99.9', 'max'].map((title) => ({
  title,
  right: true,
}));

function numbers(d: Distribution): string[] {
  // A percentile beyond which no sample lies is the maximum by another name: not shown.
  const from = (least: number, v: number | null): number => (d.count >= least ? (v ?? NaN) : NaN);
  const values = [
    d.mean_ns ?? NaN,
    d.p50_ns ?? NaN,
    from(10, d.p90_ns),
    from(100, d.p99_ns),
    from(1000, d.p999_ns),
  ];
  return [count(d.count), ...values.map(duration), duration(d.max_ns ?? NaN)];
}

const IN_KERNEL: Readonly<Record<SpanFamily, string>> = {
  mmio: "answered in Dom0's kernel (ioeventfd)",
  interrupt: "raised in Dom0's kernel (irqfd)",
  injection: '',
  request: '',
};

function family(
  name: string,
  f: FamilyReport,
  style: Style,
  notes: readonly string[] = [],
  stages: readonly (StageReport | EndToEndStage)[] = f.stages,
): string {
  if (f.plan === null) return `${style.bold(name)}  ${style.dim('not in this trace')}`;
  if (f.total.count === 0 && f.left_out.length === 0)
    return `${style.bold(name)}  ${style.dim('none in this trace')}`;
  const rows = [[f.title, ...numbers(f.total), ''], ...stages.map(stageRow)];
  if (f.in_kernel.count > 0)
    rows.push([`  of all, ${IN_KERNEL[f.plan.family]}`, ...numbers(f.in_kernel), '']);
  const lines = [
    style.bold(name),
    table([{ title: '' }, ...NUMBERS, { title: 'share of the mean' }], rows),
    ...preempted(f),
    ...f.left_out.map((entry) => `left out: ${count(entry.count)} — ${entry.why}`),
    ...notes,
    ...histogram(f.histogram),
  ];
  const clockOf = new Map(f.plan.boundaries.map((b) => [b.name, b.clock]));
  const crossing = f.stages.filter((s) => s.in_total && s.crosses_clocks);
  const logged = crossing.filter((s) => clockOf.get(s.from) === 'dm' || clockOf.get(s.to) === 'dm');
  const crossed: string[] = [];
  if (crossing.length > logged.length)
    crossed.push('stages between the hypervisor and Dom0 carry the clock error');
  if (logged.length > 0) {
    const names = logged.map((s) => s.name).join(', ');
    crossed.push(`${names}: from the device model's log, with the error of its clock`);
  }
  lines.splice(2, 0, ...crossed.map((note) => style.dim(note)));
  return lines.join('\n');
}

function stageRow(s: StageReport | EndToEndStage): string[] {
  // Upper bounds are marked, and so are stages that come after the total.
  const mark = s.bound === 'no-later-than' ? '≤ ' : '  ';
  if ('seen' in s && !s.seen) return [mark + s.title, ...numbers(s).fill('-'), `  ${s.why ?? 'not seen'}`];
  const sum = 'seen' in s && s.sum_of.length > 0 ? 'together: ' : '';
  const beside = s.in_total ? '' : s.from === 'lr' ? '  beside' : '  after';
  return [mark + sum + s.title, ...numbers(s), s.share === null ? beside : bar(s.share)];
}

/** Stages leave preemption out; how many spans had any. */
function preempted(f: FamilyReport): string[] {
  const p = f.preempted;
  // With trace points but without runstates; an unpatched trace's stages lie inside the vCPU's wait.
  if (p === null && f.plan?.boundaries.some((b) => b.name === 'trap' || b.name === 'lr') === true)
    return ["preemption of the vCPU is inside the stages: the scheduler's runstates are not in the trace"];
  if (p === null || p.count === 0) return [];
  return [
    `preempted: the vCPU of ${count(p.count)} of ${count(f.staged.count)}, for ${duration(p.mean_ns ?? NaN)} on average` +
      `, ${duration(p.max_ns ?? NaN)} at most; the stages leave it out`,
  ];
}

function bar(share: number): string {
  const cells = Math.max(0, Math.round(share * 20));
  return `${'█'.repeat(Math.min(20, cells)).padEnd(20, '·')} ${(share * 100).toFixed(1).padStart(5)} %`;
}

/** A bar a half octave; at most 24 lines, the tails folded into the first and last. */
function histogram(buckets: readonly HistogramBucket[]): string[] {
  const most = Math.max(0, ...buckets.map((b) => b.count));
  if (most === 0 || buckets.length < 2) return [];
  const shown = buckets.length > 24 ? mergePairs(buckets) : buckets;
  const top = Math.max(...shown.map((b) => b.count));
  return [
    '',
    ...shown.map((b) => {
      const cells = b.count === 0 ? 0 : Math.max(1, Math.round((b.count / top) * 40));
      return `  ${duration(b.from_ns).padStart(9)} … ${duration(b.to_ns).padStart(9)}  ${'▇'.repeat(cells)} ${b.count === 0 ? '' : count(b.count)}`.trimEnd();
    }),
  ];
}

function mergePairs(buckets: readonly HistogramBucket[]): HistogramBucket[] {
  const merged: HistogramBucket[] = [];
  for (let i = 0; i < buckets.length; i += 2) {
    const a = buckets[i]!;
    const b = buckets[i + 1] ?? { ...a, count: 0 };
    merged.push({ from_ns: a.from_ns, to_ns: b.to_ns, count: a.count + b.count });
  }
  return merged.length > 24 ? mergePairs(merged) : merged;
}

function interrupts(report: Report, style: Style): string {
  const { interrupts: f } = report;
  const { before, stages } = f.end_to_end;
  const notes = [];
  if (f.coalesced > 0) {
    const runs = count(report.counts.interrupts);
    notes.push(`${count(f.raises)} raises for ${runs} interrupts: ${count(f.coalesced)} coalesced`);
  }
  if (before !== null) {
    notes.push(
      `before the raise, as a stage of virtio requests: ${before.title}, p50 ${duration(before.p50_ns ?? NaN)}`,
    );
  }
  return [
    family('Interrupts, end to end', { ...f, histogram: [] }, style, notes, stages),
    ...lines(f.lines),
    ...histogram(f.histogram),
  ].join('\n');
}

/** What became of the raises, line by line, and whether the sums hold that must. */
function lines(list: readonly LineReport[]): string[] {
  const used = list.filter((l) => (l.raised ?? 0) + (l.injected ?? 0) + l.taken > 0);
  if (used.length === 0) return [];
  const traced = used.some((l) => l.injected !== null);
  const columns: [string, (l: LineReport) => number | null][] = [
    ['raised', (l) => l.raised],
    ['injected', (l) => l.injected],
    ['list register', (l) => l.lr],
    ['re-pended', (l) => l.repended],
    ['merged', (l) => l.merged],
    ['already queued', (l) => l.already_queued],
    ['taken', (l) => l.taken],
    ['retired', (l) => l.retired],
    ['level 0', (l) => l.lowered],
  ];
  const shown = traced ? columns : columns.filter(([title]) => title === 'raised' || title === 'taken');
  const rows = used.map((l) => [
    `${escapeText(l.device)}, SPI ${l.spi}`,
    ...shown.map(([, of]) => (of(l) === null ? '-' : count(of(l)!))),
    ...(traced ? [identities(l)] : []),
  ]);
  const titles = shown.map(([title]) => ({ title, right: true }));
  return [
    '',
    table([{ title: 'line' }, ...titles, ...(traced ? [{ title: 'sums' }] : [])], rows),
    ...(traced ? ['injected = list register + re-pended + merged + already queued'] : []),
  ];
}

function identities({ identities: list, queued_at_end: queued, in_lr_at_end: filled }: LineReport): string {
  const broken = list.filter(({ holds }) => !holds);
  if (broken.length > 0) {
    return `DO NOT HOLD: ${broken.map(({ what, left, right }) => `${what}: ${count(left)}, ${count(right)}`).join('; ')}`;
  }
  const open = (queued ?? 0) + (filled ?? 0);
  return open === 0 ? 'hold' : `hold; ${count(open)} open at the end`;
}

function requestNotes(report: Report): string[] {
  const { depth } = report.requests;
  const notes = report.requests.bytes > 0 ? [`${bytes(report.requests.bytes)} of data`] : [];
  if (depth.length > 0) {
    const list = depth.map(
      (d) =>
        `${escapeText(d.device)} queue ${d.queue}: mean ${d.mean === null ? '-' : d.mean.toFixed(2)}, max ${d.max}`,
    );
    notes.push(`in flight  ${list.join(' · ')}`);
  }
  return notes;
}

const TARGET_TEXT: Readonly<Record<TargetReport['target'], string>> = {
  running: 'the vCPU ran',
  runnable: 'it waited for a CPU',
  blocked: 'it slept',
  offline: 'it was in an ioreq of its own',
  unknown: 'not known',
};

function injection(report: Report, style: Style): string {
  const { injection: f } = report.interrupts;
  if (f === null) return '';
  const text = family('Interrupt injection in Xen', { ...f, histogram: [] }, style);
  if (f.by_target.length === 0) return text;
  // Whether the target has to be woken makes two modes of one latency: apart, each has its percentiles.
  const rows = f.by_target.flatMap((t) => [
    [TARGET_TEXT[t.target], ...numbers(t.total)],
    ...t.stages
      .filter((s) => s.in_total && t.target !== 'running' && (s.from === 'inject' || s.from === 'runs'))
      .filter((s) => s.name !== 'preempted')
      .map((s) => [`  ${s.title}`, ...numbers(s)]),
  ]);
  return `${text}\n\n${table([{ title: 'when it was injected' }, ...NUMBERS], rows)}`;
}

const FAMILY_NAMES = { mmio: 'MMIO', interrupts: 'Interrupts', requests: 'Requests' } as const;
const MAX_GROUP_ROWS = 12;

function groups(report: Report, style: Style): string {
  const blocks: string[] = [];
  for (const name of ['mmio', 'interrupts', 'requests'] as const) {
    const of = report.groups.filter((g) => g.family === name && g.total.count > 0);
    if (of.length === 0) continue;
    const keys = Object.keys(of[0]!.by);
    const rows = of.slice(0, MAX_GROUP_ROWS).map((g) => [...groupLabel(g), ...numbers(g.total)]);
    blocks.push(
      style.bold(`${FAMILY_NAMES[name]} by ${keys.join(', ')}`) +
        '\n' +
        table([...keys.map((title) => ({ title })), ...NUMBERS], rows) +
        (of.length > MAX_GROUP_ROWS ? `\n… ${count(of.length - MAX_GROUP_ROWS)} more (--json has all)` : ''),
    );
  }
  return blocks.join('\n\n');
}

function groupLabel(group: GroupReport): string[] {
  return Object.values(group.by).map((value) => escapeText(String(value)));
}

function slowest(report: Report, style: Style): string {
  const blocks: string[] = [];
  for (const name of ['mmio', 'interrupts', 'requests'] as const) {
    const spans = report.slowest[name];
    if (spans.length === 0) continue;
    const rows = spans.map((s) => [
      duration(s.start_ns),
      escapeText(spanName(s)),
      duration(s.total_ns),
      widest(s),
    ]);
    blocks.push(
      style.bold(`Slowest: ${FAMILY_NAMES[name]}`) +
        '\n' +
        table(
          [
            { title: 'at', right: true },
            { title: 'what' },
            { title: 'took', right: true },
            { title: 'longest stage' },
          ],
          rows,
        ),
    );
  }
  return blocks.join('\n\n');
}

function spanName(s: SlowSpan): string {
  const parts = [s.device ?? 'unknown device'];
  if (s.register !== null) parts.push(s.register);
  if (s.queue !== null) parts.push(`queue ${s.queue}`);
  if (s.spi !== null) parts.push(`SPI ${s.spi}`);
  if (s.direction !== null) parts.push(s.direction);
  if (s.vcpu !== null) parts.push(`vcpu ${s.vcpu}`);
  return parts.join(' ');
}

function widest(s: SlowSpan): string {
  let best = '';
  let most = -Infinity;
  for (const { name, in_total: inTotal, ns } of s.stages) {
    if (inTotal && ns !== null && ns > most) {
      most = ns;
      best = `${name} ${duration(ns)}`;
    }
  }
  return best;
}

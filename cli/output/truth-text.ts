import type {
  ClockMethodTruth,
  ComparisonReport,
  FamilyTruth,
  RuleReport,
  SplitReport,
  TruthReport,
} from '../../analyzer/truth/document.ts';
import { escapeText } from './escape.ts';
import type { Style } from './style.ts';
import type { Column } from './table.ts';
import { table } from './table.ts';
import { count, duration } from './units.ts';

/** The comparison of unpatched estimates with exact times as a person reads it. */
export function truthText(report: TruthReport, style: Style): string {
  const { trace } = report;
  const parts = [
    `${style.bold(escapeText(trace.path))} · domid ${trace.domid ?? 'not known'} · ${duration(trace.duration_ns)}\n` +
      "estimate: the same events without Xen's trace points, as an unpatched Xen would have given them; " +
      'error: estimate − exact, span by span',
    clock(report, style),
    family('MMIO trap latency', report.mmio, style, joined(report.mmio.joined_otherwise)),
    family('Interrupts', report.interrupts, style, injection(report)),
    family('Virtio requests', report.requests, style),
    rules(report.rules, style),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

const right = (title: string): Column => ({ title, right: true });
const ERRORS = ['n', 'exact p50', 'estimate p50', 'error mean', 'p1', 'p50', 'p90', 'p99', 'max', 'share'];

function errors(c: ComparisonReport): string[] {
  const { error } = c;
  // A percentile beyond which no sample lies is an extreme by another name: not shown.
  const from = (least: number, v: number | null): number => (c.count >= least ? (v ?? NaN) : NaN);
  const times = [
    c.exact.p50_ns ?? NaN,
    c.estimate.p50_ns ?? NaN,
    error.mean_ns ?? NaN,
    from(100, error.p1_ns),
    error.p50_ns ?? NaN,
    from(10, error.p90_ns),
    from(100, error.p99_ns),
    error.max_ns ?? NaN,
  ];
  const share = error.share_of_exact === null ? '-' : `${(100 * error.share_of_exact).toFixed(1)} %`;
  return [count(c.count), ...times.map(duration), share];
}

const SPLITS: Readonly<Record<SplitReport['spans'], string>> = {
  all: 'all',
  undisturbed: 'vCPU not preempted',
  preempted: 'vCPU preempted',
};
const MAX_GROUPS = 12;

function family(name: string, f: FamilyTruth, style: Style, notes: readonly string[] = []): string {
  const { pairing } = f;
  const [all] = f.splits;
  if (all === undefined || all.total.count === 0)
    return `${style.bold(name)}  ${style.dim('nothing to compare')}`;
  const splits = f.splits.filter((split) => split.total.count > 0);
  const rows = splits.flatMap((split, n) => [
    [
      splits.length > 1 ? `${SPLITS[split.spans]}: ${split.total.title}` : split.total.title,
      ...errors(split.total),
    ],
    // A total of one stage says it all; and a split that holds everything says nothing new.
    ...(n > 0 && split.total.count === all.total.count ? [] : split.stages)
      .filter((stage) => stage.count > 0)
      .map((stage) => [`  ${stage.title}`, ...errors(stage)]),
  ]);
  const unseen = all.unseen.filter((stage) => stage.count > 0);
  const lines = [
    style.bold(name),
    table([{ title: '' }, ...ERRORS.map(right)], rows),
    ...(unseen.length === 0 ? [] : [table(UNSEEN, unseen.map(unseenRow))]),
    `compared: ${count(all.total.count)} of ${count(pairing.exact)} exact and ${count(pairing.estimate)} estimated` +
      left(pairing.only_exact, 'only exact') +
      left(pairing.only_estimate, 'only estimated') +
      left(pairing.cut, 'too many to be held'),
    ...pairing.not_compared.map((entry) => `left out: ${count(entry.count)} — ${entry.why}`),
    ...notes,
    ...groups(f, style),
  ];
  return lines.join('\n');
}

function left(n: number, what: string): string {
  return n === 0 ? '' : `; ${count(n)} ${what}`;
}

const UNSEEN: readonly Column[] = [
  { title: 'not seen unpatched' },
  ...['n', 'mean', 'p50', 'p90', 'p99', 'max'].map(right),
  { title: 'hidden in' },
];

function unseenRow(u: SplitReport['unseen'][number]): string[] {
  const times = [u.mean_ns, u.p50_ns, u.p90_ns, u.p99_ns, u.max_ns].map((v) => duration(v ?? NaN));
  return [`  ${u.title}`, count(u.count), ...times, u.hidden_in];
}

function groups(f: FamilyTruth, style: Style): string[] {
  const of = f.groups.filter((group) => group.total.count > 0);
  if (of.length < 2) return [];
  const keys = Object.keys(of[0]!.by);
  const rows = of
    .slice(0, MAX_GROUPS)
    .map((g) => [...Object.values(g.by).map((v) => escapeText(String(v))), ...errors(g.total)]);
  return [
    style.dim(`the total by ${keys.join(', ')}`),
    table([...keys.map((title) => ({ title })), ...ERRORS.map(right)], rows),
    ...(of.length > MAX_GROUPS ? [`… ${count(of.length - MAX_GROUPS)} more (--json has all)`] : []),
  ];
}

function joined(otherwise: number): string[] {
  return otherwise === 0
    ? []
    : [`joined with another ioreq of Dom0's than their own: ${count(otherwise)} waits`];
}

function injection({ injection: i }: TruthReport): string[] {
  if (i.count === 0) return [];
  return [
    `the estimate is no injection latency: injection alone (vGIC injects → list register filled) takes ` +
      `${duration(i.exact.p50_ns ?? NaN)} at the median, raise → read as estimated ${duration(i.estimate.p50_ns ?? NaN)}`,
  ];
}

function clock({ clock: c }: TruthReport, style: Style): string {
  if (c.offset_ns === null) return '';
  const truth = c.exact
    ? `known, Xen − Dom0 = ${(c.offset_ns / 1e9).toFixed(9)} s ± ${duration(c.error_ns ?? NaN)}`
    : `not known: this trace does not tell the domains' counter offsets; by the bounds of all trace points ± ${duration(c.error_ns ?? NaN)}`;
  const rows = c.methods.map((m) => [
    m.name,
    m.unpatched ? 'yes' : 'no',
    m.error_ns === null ? '-' : `± ${duration(m.max_error_ns ?? m.error_ns)}`,
    duration(m.off_by_ns ?? NaN),
    verdict(m),
  ]);
  const titles = [right('stated'), right('off by'), { title: 'truth inside' }];
  const columns = [{ title: 'estimated' }, { title: 'unpatched' }, ...titles];
  const text = rows.length === 0 ? [] : [table(columns, rows)];
  return [`${style.bold('Clock')}  ${truth}`, ...text].join('\n');
}

function verdict(m: ClockMethodTruth): string {
  if (m.refusal !== null) return escapeText(m.refusal);
  return m.holds === null ? '-' : m.holds ? 'yes' : 'NO';
}

function rules(list: readonly RuleReport[], style: Style): string {
  if (list.length === 0) return '';
  const rows = list.map((r) => [
    r.of,
    r.certain ? 'certain' : 'typical',
    `${count(r.held)} of ${count(r.checked)}`,
    r.worst_ns === null ? '' : `by up to ${duration(r.worst_ns)}`,
    r.statement,
  ]);
  const broken = list.filter((r) => r.certain && r.held < r.checked);
  return [
    style.bold('What unpatched reports state of their error'),
    table(
      [{ title: 'number' }, { title: '' }, { title: 'held' }, { title: 'broken' }, { title: 'statement' }],
      rows,
    ),
    ...broken.map((r) => style.red(`BROKEN: ${r.id} is called certain and is not`)),
  ].join('\n');
}

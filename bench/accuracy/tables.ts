import type { ComparisonReport, SplitReport, UnseenReport } from '../../analyzer/truth/document.ts';
import { count, duration } from '../../cli/output/units.ts';
import type { Run } from './run.ts';

const BEGIN = '<!-- accuracy: written by `npm run accuracy` -->';
const END = '<!-- end of accuracy -->';

/** The page with the part between its marks replaced. */
export function fillPage(page: string, tables: string): string {
  const from = page.indexOf(BEGIN);
  const to = page.indexOf(END);
  if (from < 0 || to < from) throw new Error(`the page lacks ${from < 0 ? BEGIN : END}`);
  return `${page.slice(0, from + BEGIN.length)}\n\n${tables}\n\n${page.slice(to)}`;
}

/** Markdown: where the numbers come from, and a table for each of the report's parts. */
export function accuracyTables(runs: readonly Run[]): string {
  return [
    provenance(runs),
    '### MMIO: trap → resume, by descheduled → running',
    totals(runs, 'mmio'),
    '### MMIO: stage by stage',
    stages(runs, 'mmio'),
    '### MMIO: what an unpatched Xen does not show',
    unseen(runs, 'mmio'),
    '### Interrupts: raise → guest reads InterruptStatus',
    totals(runs, 'interrupts'),
    '### Interrupts: what hides in it',
    unseen(runs, 'interrupts', (u) => u.hidden_in === 'raise→status_read'),
    '### Requests: notify → used',
    totals(runs, 'requests'),
    "### Clock: Xen's counter against Dom0's",
    clocks(runs),
    '### The rules',
    rules(runs),
  ].join('\n\n');
}

function provenance(runs: readonly Run[]): string {
  const facts = runs.map(({ created, host }) =>
    [
      created.slice(0, 10),
      `Xen ${host.xenVersion ?? '?'}`,
      `Linux ${host.linuxVersion ?? '?'}`,
      host.machine ?? '',
    ]
      .filter((text) => text !== '')
      .join(', '),
  );
  return `Recorded ${[...new Set(facts)].join('; ')}.`;
}

const SPLITS: Readonly<Record<SplitReport['spans'], string>> = {
  all: 'all',
  undisturbed: 'not preempted',
  preempted: 'preempted',
};

type Family = 'mmio' | 'interrupts' | 'requests';

function totals(runs: readonly Run[], family: Family): string {
  const rows = runs.flatMap(({ name, report }) => {
    const splits = report[family].splits.filter((split) => split.total.count > 0);
    // One that holds all of them says nothing new.
    const shown = splits.filter((split, n) => n === 0 || split.total.count < splits[0]!.total.count);
    return shown.map((split) => [
      name,
      SPLITS[split.spans],
      count(split.total.count),
      time(split.total.exact.p50_ns),
      time(split.total.estimate.p50_ns),
      ...errors(split.total),
    ]);
  });
  return table(['workload', 'vCPU', 'n', 'exact p50', 'estimate p50', ...ERRORS], rows);
}

const ERRORS = ['error p1', 'p50', 'p99', 'mean', 'share of exact'];

/** Percentiles beyond which no sample lies are left out. */
function errors({ count: n, error }: ComparisonReport): string[] {
  return [
    time(n >= 100 ? error.p1_ns : null),
    time(error.p50_ns),
    time(n >= 100 ? error.p99_ns : null),
    time(error.mean_ns),
    error.share_of_exact === null ? '-' : `${(100 * error.share_of_exact).toFixed(1)} %`,
  ];
}

function stages(runs: readonly Run[], family: Family): string {
  const rows = runs.flatMap(({ name, report }) =>
    (report[family].splits[0]?.stages ?? [])
      .filter((stage) => stage.count > 0)
      .map((stage) => [
        name,
        stage.name,
        time(stage.exact.p50_ns),
        time(stage.estimate.p50_ns),
        ...errors(stage),
      ]),
  );
  return table(['workload', 'stage', 'exact p50', 'estimate p50', ...ERRORS], rows);
}

function unseen(
  runs: readonly Run[],
  family: Family,
  wanted: (u: UnseenReport) => boolean = () => true,
): string {
  const rows = runs.flatMap(({ name, report }) =>
    (report[family].splits[0]?.unseen ?? [])
      .filter((u) => u.count > 0 && wanted(u))
      .map((u) => [name, u.title, ...[u.mean_ns, u.p50_ns, u.p90_ns, u.p99_ns].map(time), u.hidden_in]),
  );
  return table(['workload', 'stage', 'mean', 'p50', 'p90', 'p99', 'hidden in'], rows);
}

function clocks(runs: readonly Run[]): string {
  const rows = runs.flatMap(({ name, report }) =>
    report.clock.methods.map((m) => [
      name,
      m.name,
      m.unpatched ? 'yes' : 'no',
      m.max_error_ns === null ? (m.refusal ?? '-') : `± ${duration(m.max_error_ns)}`,
      time(m.off_by_ns),
      m.holds === null ? '-' : m.holds ? 'yes' : 'NO',
    ]),
  );
  return table(['workload', 'bounds', 'on unpatched Xen', 'stated', 'off by', 'truth inside'], rows);
}

/** Over all runs: a rule is certain only if it held in every case. */
function rules(runs: readonly Run[]): string {
  const all = runs.flatMap(({ report }) => report.rules);
  const rows = [...new Set(all.map((r) => r.id))].map((id) => {
    const own = all.filter((r) => r.id === id);
    const sum = (what: 'held' | 'checked'): number => own.reduce((n, r) => n + r[what], 0);
    const worst = Math.max(...own.map((r) => r.worst_ns ?? -Infinity));
    return [
      `\`${own[0]!.of}\``,
      own[0]!.certain ? 'certain' : 'typical',
      own[0]!.statement,
      `${count(sum('held'))} of ${count(sum('checked'))}`,
      Number.isFinite(worst) ? duration(worst) : '-',
    ];
  });
  return table(['number', 'called', 'rule', 'held', 'worst case beyond it'], rows);
}

function time(ns: number | null): string {
  return duration(ns ?? NaN);
}

/** A Markdown table, its columns padded as prettier does. */
function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [titles, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = titles.map((_, i) => Math.max(3, ...cells.map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  const dashes = line(widths.map((width) => '-'.repeat(width)));
  return [line(cells[0]!), dashes, ...cells.slice(1).map(line)].join('\n');
}

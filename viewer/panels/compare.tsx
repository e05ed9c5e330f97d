import type { JSX } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import { OpenFile } from './open-file.tsx';
import { change, FlameChart } from '../charts/flame.tsx';
import { diffTree, flameTree } from '../charts/flame-tree.ts';
import { askFigures, compared, familyReport, sides, tableOf, type Loaded } from '../data.ts';
import type { Figures } from '../engine/figures.ts';
import { count, duration, FAMILY_TITLE, groupName, safeText } from '../format.ts';
import { useAtom, useView } from '../state.ts';

/** What changed from the first trace to the second, group by group. */
export function Compare(): JSX.Element {
  const { family } = useView('family');
  const [a, b] = useAtom(sides);
  const figures = useAtom(compared);
  useEffect(() => {
    if (a !== null && b !== null) askFigures(family);
  }, [a, b, family]);
  const [of, to] = [figures[`0 ${family}`], figures[`1 ${family}`]];
  const root = useMemo(() => {
    if (a === null || b === null || of === undefined || to === undefined) return null;
    const [x, y] = (
      [
        [a, of],
        [b, to],
      ] as const
    ).map(([loaded, { frames }]) => {
      const groups = loaded.tables[family]?.groups ?? [];
      return flameTree(
        loaded.data,
        family,
        tableOf(loaded.data, family)?.plan.stages ?? [],
        groups,
        frames,
        'time',
      );
    });
    return diffTree(x!, y!);
  }, [a, b, of, to]);
  if (a === null || b === null) {
    return (
      <section class="panel" aria-label="Compare">
        <h2>Compare with a second trace</h2>
        <p>
          Drop another trace or its page here, or choose <OpenFile text="a directory" directory /> or{' '}
          <OpenFile text="a page" />. On the command line: trace view A B.
        </p>
      </section>
    );
  }
  const rows = of === undefined || to === undefined ? [] : pairs(a, b, of.groups, to.groups, family);
  const differences = unlike(a, b, family);
  return (
    <>
      <section class="panel" aria-label="Compare">
        <h2>
          {FAMILY_TITLE[family]}: A {safeText(a.data.report.trace?.path)} → B{' '}
          {safeText(b.data.report.trace?.path)}
          <span class="legend">
            <OpenFile text="Another B" />
          </span>
        </h2>
        {differences.length > 0 && (
          <div class="warning" role="note">
            The traces are not alike: {differences.join('; ')}.
          </div>
        )}
        <p class="hint">
          By the change of p99; groups of fewer than {FEW} spans last. The 95 % intervals of p99 and median
          come from ranks (order statistics), whatever the shape of the latencies; a change is significant
          when the intervals of A and B do not overlap.
        </p>
        <div class="table-scroll">
          <table class="figures compare" id="compare-table">
            <thead>
              <tr>
                {['Group', 'n A', 'n B', 'p50 A', 'p50 B', 'p99 A', 'p99 B', 'Δ p99', '', 'between', ''].map(
                  (t, k) => (
                    <th scope="col" key={k} class={k > 0 && k < 10 ? 'n' : ''}>
                      {t}
                    </th>
                  ),
                )}
              </tr>
            </thead>
            <tbody>
              {of !== undefined && to !== undefined && <Row name="all" a={of.all} b={to.all} />}
              {rows.map((r) => (
                <Row key={r.name} {...r} />
              ))}
            </tbody>
          </table>
        </div>
        <Stages a={a} b={b} />
      </section>
      {root !== null && (
        <section class="panel" aria-label="Difference flame graph">
          <h2>
            A − B{' '}
            <span class="small">
              time a span of the family: + slower in B, − faster; width is the larger of both
            </span>
          </h2>
          <FlameChart root={root} value={duration} title="A → B, a span" />
        </section>
      )}
    </>
  );
}

/** Spans below which a group's percentiles are chance. */
const FEW = 10;

interface Pair {
  name: string;
  a: Figures | undefined;
  b: Figures | undefined;
}

/** Groups of the same names: device numbers mean nothing in another trace. Largest change of p99 first. */
function pairs(
  a: Loaded,
  b: Loaded,
  of: readonly Figures[],
  to: readonly Figures[],
  family: Parameters<typeof groupName>[1],
): Pair[] {
  const found = new Map<string, Pair>();
  for (const f of of) {
    const name = groupName(a.data, family, f.group!);
    found.set(name, { name, a: f, b: undefined });
  }
  for (const f of to) {
    const name = groupName(b.data, family, f.group!);
    found.set(name, { name, a: found.get(name)?.a, b: f });
  }
  const size = ({ a: x, b: y }: Pair): number =>
    x === undefined || y === undefined ? -1 : Math.abs(y.p99 - x.p99);
  // A group of a few spans says nothing, however large its change: behind those that do.
  const tells = ({ a: x, b: y }: Pair): number => (Math.min(x?.count ?? 0, y?.count ?? 0) >= FEW ? 1 : 0);
  return [...found.values()].sort((x, y) => tells(y) - tells(x) || size(y) - size(x)).slice(0, 500);
}

function Row({ name, a, b }: Pair): JSX.Element {
  const delta = (b?.p99 ?? NaN) - (a?.p99 ?? NaN);
  const lo = (b?.lo ?? NaN) - (a?.hi ?? NaN);
  const hi = (b?.hi ?? NaN) - (a?.lo ?? NaN);
  const significant = lo > 0 || hi < 0;
  const median = a !== undefined && b !== undefined && (b.lo50 > a.hi50 || b.hi50 < a.lo50);
  const cell = (ns: number | undefined): JSX.Element => (
    <td class="n" data-ns={ns ?? ''}>
      {duration(ns)}
    </td>
  );
  return (
    <tr class={significant || median ? '' : 'weak'}>
      <th scope="row">{name}</th>
      <td class="n">{a === undefined ? '–' : count(a.count)}</td>
      <td class="n">{b === undefined ? '–' : count(b.count)}</td>
      {[a?.p50, b?.p50, a?.p99, b?.p99].map(cell)}
      <td class="n strong" data-ns={delta}>
        {signed(delta)}
      </td>
      <td class="n">{change(a?.p99 ?? 0, b?.p99 ?? 0)}</td>
      <td class="n">
        {Number.isNaN(lo) ? '?' : signed(lo)} … {Number.isNaN(hi) ? '?' : signed(hi)}
      </td>
      <td>{verdictOf(a, b, significant, median)}</td>
    </tr>
  );
}

function verdictOf(a: unknown, b: unknown, p99: boolean, median: boolean): string {
  if (a === undefined) return 'only in B';
  if (b === undefined) return 'only in A';
  if (p99) return median ? 'significant, and the median' : 'significant';
  return median ? 'median significant' : 'not significant';
}

const signed = (ns: number): string =>
  Number.isNaN(ns) ? '–' : `${ns > 0 ? '+' : ns < 0 ? '−' : ''}${duration(Math.abs(ns))}`;

/** The reports' own stages side by side. */
function Stages({ a, b }: { a: Loaded; b: Loaded }): JSX.Element {
  const { family } = useView('family');
  const of = familyReport(a.data, family).stages ?? [];
  const to = familyReport(b.data, family).stages ?? [];
  const names = [...new Set([...of, ...to].map((s) => s.name))];
  return (
    <table class="figures" id="compare-stages">
      <thead>
        <tr>
          {['Stage', 'mean A', 'mean B', '', 'p99 A', 'p99 B', ''].map((t, k) => (
            <th scope="col" key={k} class={k > 0 ? 'n' : ''}>
              {t}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {names.map((name) => {
          const x = of.find((s) => s.name === name);
          const y = to.find((s) => s.name === name);
          return (
            <tr key={name}>
              <th scope="row">{safeText(x?.title ?? y?.title)}</th>
              {([['mean_ns'], ['p99_ns']] as const).map(([key]) => (
                <>
                  <td class="n">{duration(x?.[key])}</td>
                  <td class="n">{duration(y?.[key])}</td>
                  <td class="n">{change(x?.[key] ?? 0, y?.[key] ?? 0)}</td>
                </>
              ))}
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

/** What makes figures of two traces two different things: the host, the hooks. */
function unlike(a: Loaded, b: Loaded, family: Parameters<typeof groupName>[1]): string[] {
  const found: string[] = [];
  const hosts = [a, b].map((l) => l.data.report.trace?.host ?? {});
  for (const [key, name] of [
    ['xenVersion', 'Xen'],
    ['linuxVersion', 'Dom0 Linux'],
    ['machine', 'machine'],
    ['deviceModel', 'device model'],
    ['counterHz', 'counter'],
  ] as const) {
    const [x, y] = [safeText(hosts[0]![key]), safeText(hosts[1]![key])];
    if (x !== y) found.push(`${name} ${x === '' ? 'unknown' : x} / ${y === '' ? 'unknown' : y}`);
  }
  const marks = [a, b].map((l) => tableOf(l.data, family)?.plan.boundaries.map((m) => m.name) ?? []);
  for (const [n, other] of [
    [0, 1],
    [1, 0],
  ] as const) {
    const only = marks[n]!.filter((m) => !marks[other]!.includes(m));
    if (only.length > 0)
      found.push(`only ${n === 0 ? 'A' : 'B'} has the instants ${only.map(safeText).join(', ')}`);
  }
  const titles = [a, b].map((l) => safeText(tableOf(l.data, family)?.plan.title));
  if (titles[0] !== titles[1]) found.push(`latency is “${titles[0]!}” in A, “${titles[1]!}” in B`);
  return found;
}

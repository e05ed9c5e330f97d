import type { JSX } from 'preact';
import { LadderChart, type LadderLine } from '../charts/ladder.tsx';
import { stageColour } from '../colours.ts';
import { familyReport, sides, type Loaded } from '../data.ts';
import { LADDER } from '../engine/quantiles.ts';
import type { Selection } from '../engine/query.ts';
import { columnUnit, count, duration, groupName, inUnit, percent } from '../format.ts';
import { useAtom, useView } from '../state.ts';

const LABELS = ['p50', 'p90', 'p99', 'p99.9', 'p99.99', 'max'];
/** Spans a percentile needs above it to be more than chance. */
const ENOUGH = 10;

export function Percentiles({ loaded, selection }: { loaded: Loaded; selection: Selection }): JSX.Element {
  const { family, limit, side } = useView('family', 'limit', 'side');
  const pair = useAtom(sides);
  const d = selection.distribution;
  const total = familyReport(loaded.data, family).total;
  const report = [
    total?.p50_ns,
    total?.p90_ns,
    total?.p99_ns,
    total?.p999_ns,
    total?.p9999_ns,
    total?.max_ns,
  ];
  const baseline = loaded.tables[family];
  // Over everything the report's own figures are shown: they come from all spans, even when the page holds a sample.
  const own = LADDER.map((_, k) => (selection.everything ? (report[k] ?? d.at[k]) : d.at[k]));
  const all = LADDER.map((_, k) => report[k] ?? baseline?.all.at[k]);
  const n = selection.everything ? (total?.count ?? d.count) : d.count;
  const mean = selection.everything ? (total?.mean_ns ?? d.mean) : d.mean;
  const allCount = total?.count ?? baseline?.all.count ?? 0;
  const unit = columnUnit([...own, ...all]);
  const cell = (v: number | null | undefined, quantile: number, of: number): JSX.Element => {
    const weak = quantile < 1 && (1 - quantile) * of < ENOUGH;
    return (
      <td
        class={weak ? 'n weak' : 'n'}
        data-ns={v ?? ''}
        title={weak ? `fewer than ${ENOUGH} spans above: chance` : undefined}
      >
        {inUnit(v, unit)}
      </td>
    );
  };
  const both = !selection.everything;
  const lines: LadderLine[] = [];
  if (both && baseline !== undefined)
    lines.push({ name: 'all', curve: baseline.curve, colour: 'muted-line', dash: [4, 3] });
  const other = pair[side === 0 ? 1 : 0]?.tables[family];
  if (other !== undefined)
    lines.push({ name: side === 0 ? 'B' : 'A', curve: other.curve, colour: 'peak', dash: [9, 4] });
  selection.curves.forEach((curve, k) => {
    const [device = -1, key = -1, dir = -1] = curve.group.split(':').map(Number);
    const name = groupName(loaded.data, family, { device, key, dir });
    lines.push({ name, curve, colour: stageColour(k + 1), dash: [2 + 2 * k, 2] });
  });
  lines.push({ name: both ? 'selection' : 'all', curve: selection.curve, colour: 'accent' });
  return (
    <section class="panel" aria-label="Percentiles">
      <h2>
        Percentiles{' '}
        <span class="small">
          latency, {unit.name} · n {count(n)}
          {limit !== null &&
            ` · slower than ${duration(limit)}: ${count(selection.over)} (${percent(selection.over / d.count)})`}
        </span>
      </h2>
      <LadderChart lines={lines} named={lines.length > (both ? 2 : 1)} />
      <table class="figures ladder" id="ladder-table">
        <thead>
          <tr>
            <th scope="col">{unit.name}</th>
            <th scope="col" class="n">
              <span class="line chosen" aria-hidden="true" />
              {both ? 'selection' : 'all'}
            </th>
            {both && (
              <th scope="col" class="n">
                <span class="line all" aria-hidden="true" />
                all
              </th>
            )}
            <th scope="col" class="n">
              spans above
            </th>
          </tr>
        </thead>
        <tbody>
          <tr>
            <th scope="row">n</th>
            <td class="n">{count(n)}</td>
            {both && <td class="n">{count(allCount)}</td>}
            <td />
          </tr>
          <tr>
            <th scope="row">mean</th>
            {cell(mean, 0, n)}
            {both && cell(total?.mean_ns ?? baseline?.all.mean, 0, allCount)}
            <td />
          </tr>
          {LADDER.map((q, k) => (
            <tr key={LABELS[k]}>
              <th scope="row">{LABELS[k]}</th>
              {cell(own[k], q, n)}
              {both && cell(all[k], q, allCount)}
              <td class="n dim">{q < 1 ? count(Math.floor((1 - q) * n + 1e-6)) : ''}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

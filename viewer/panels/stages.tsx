import type { JSX } from 'preact';
import type { Stage } from '../../trace/spans.ts';
import { UNEXPLAINED } from '../charts/flame-tree.ts';
import { stageColour } from '../colours.ts';
import { familyReport, tableOf, type Loaded } from '../data.ts';
import type { Selection } from '../engine/query.ts';
import { columnUnit, count, duration, inUnit, percent, safeText } from '../format.ts';
import { useView } from '../state.ts';

/** A stage's name as everywhere: its colour, and ≤ in italics if its end is only known as an upper bound. */
export function StageName({ stage, index }: { stage: Stage; index: number }): JSX.Element {
  return (
    <span class={stage.bound === 'no-later-than' ? 'stage late' : 'stage'} title={safeText(stage.title)}>
      <i class="swatch" style={{ background: stageColour(index) }} aria-hidden="true" />
      {stage.bound === 'no-later-than' ? '≤ ' : ''}
      {safeText(stage.name).replace('→', ' → ')}
      {stage.crossesClocks && (
        <span class="cross" title="between two clocks: uncertain by the clock error">
          {' '}
          ±
        </span>
      )}
    </span>
  );
}

export function Stages({ loaded, selection }: { loaded: Loaded; selection: Selection }): JSX.Element {
  const { family } = useView('family');
  const stages = tableOf(loaded.data, family)?.plan.stages ?? [];
  const fromReport = familyReport(loaded.data, family).stages ?? [];
  const figures = stages.map((stage, s) => {
    const own = selection.stages[s];
    const known = selection.everything ? fromReport.find((r) => r.name === stage.name) : undefined;
    const d = own?.distribution;
    return {
      n: known?.count ?? d?.count ?? 0,
      mean: known?.mean_ns ?? d?.mean,
      p50: known?.p50_ns ?? d?.at[0],
      p99: known?.p99_ns ?? d?.at[2],
      max: known?.max_ns ?? d?.max,
    };
  });
  const unit = columnUnit(
    figures.flatMap((f) => [f.p50, f.p99, f.max]),
    true,
  );
  const all = selection.splits[0];
  const n = selection.distribution.count;
  return (
    <section class="panel" aria-label="Stages">
      <h2>
        Where the time goes <span class="small">mean split near each percentile; {unit.name}</span>
      </h2>
      <div class="splits">
        {selection.splits
          .filter((split) => split.quantile === undefined || (1 - split.quantile) * n >= 1)
          .map((split) => (
            <div class="split" key={split.label}>
              <span class="label">{split.label}</span>
              <span class="track" role="img" aria-label={splitText(split.stages, stages)}>
                {split.stages.map((ns, s) => (
                  <i
                    key={s}
                    class={s === stages.length ? 'unexplained' : ''}
                    style={{
                      width: `${share(split.stages, ns) * 100}%`,
                      ...(s < stages.length ? { background: stageColour(s) } : {}),
                    }}
                    title={`${stages[s] === undefined ? UNEXPLAINED : safeText(stages[s].title)}: ${duration(ns)}, ${percent(share(split.stages, ns))}`}
                  />
                ))}
              </span>
              <span class="value">{duration(split.mean)}</span>
            </div>
          ))}
      </div>
      <table class="figures stages">
        <thead>
          <tr>
            <th scope="col">Stage</th>
            <th scope="col" class="n">
              n
            </th>
            <th scope="col" class="n">
              share
            </th>
            {['mean', 'p50', 'p99', 'max'].map((label) => (
              <th scope="col" class="n" key={label}>
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {stages.map((stage, s) => {
            const f = figures[s]!;
            return (
              <tr key={stage.name} class={stage.bound === 'no-later-than' ? 'late' : ''}>
                <td>
                  <StageName stage={stage} index={s} />
                </td>
                <td class="n">{count(f.n)}</td>
                <td class="n">
                  {!stage.inTotal ? (
                    <span title="not part of the latency">after</span>
                  ) : all === undefined ? (
                    '–'
                  ) : (
                    percent(share(all.stages, all.stages[s] ?? 0))
                  )}
                </td>
                {[f.mean, f.p50, f.p99, f.max].map((v, k) => (
                  <td
                    class={(k === 2 && f.n < 1000) || (k === 1 && f.n < 20) ? 'n weak' : 'n'}
                    key={k}
                    data-ns={v ?? ''}
                  >
                    {inUnit(v, unit)}
                  </td>
                ))}
              </tr>
            );
          })}
          {family === 'interrupt' &&
            unseenStages(loaded).map(({ name, why }) => (
              <tr key={name} class="absent">
                <td>
                  <span class="stage">
                    <i class="swatch" aria-hidden="true" />
                    {safeText(name).replace('→', ' → ')}
                  </span>
                </td>
                <td colSpan={6}>{safeText(why)}</td>
              </tr>
            ))}
        </tbody>
      </table>
    </section>
  );
}

/** Stages of an interrupt's whole way that this trace cannot show, and why not. */
function unseenStages({ data }: Loaded): { name: string; why: string }[] {
  const stages = data.report.interrupts?.end_to_end?.stages ?? [];
  return stages.flatMap(({ name, seen, why }) =>
    seen === false ? [{ name, why: why ?? 'not seen in this trace' }] : [],
  );
}

function share(stages: readonly number[], ns: number): number {
  const sum = stages.reduce((a, b) => a + Math.max(0, b), 0);
  return sum === 0 ? 0 : Math.max(0, ns) / sum;
}

const splitText = (split: readonly number[], stages: readonly Stage[]): string =>
  split
    .map(
      (ns, s) =>
        `${stages[s] === undefined ? UNEXPLAINED : safeText(stages[s].title)} ${percent(share(split, ns))}`,
    )
    .join(', ');

import type { JSX } from 'preact';
import { Component, type ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { samples } from './blocks.ts';
import { Flame } from './charts/flame.tsx';
import { Heatmap } from './charts/heatmap.tsx';
import { Overview } from './charts/overview.tsx';
import { fault, hasRows, phase, settled, tableOf, zoom, openSample, type Loaded } from './data.ts';
import type { Overview as OverviewData } from './engine/query.ts';
import { say } from './dialogs.ts';
import { spoken } from './keys.ts';
import { Dialogs } from './panels/dialogs.tsx';
import { count, duration, FAMILY_TITLE, FAMILY_UNIT, instant, safeText } from './format.ts';
import { About } from './panels/about.tsx';
import { DetailPanel } from './panels/detail.tsx';
import { Compare } from './panels/compare.tsx';
import { Exports } from './panels/export.tsx';
import { FamilyTables } from './panels/family-tables.tsx';
import { Families } from './panels/families.tsx';
import { OpenFile } from './panels/open-file.tsx';
import { Outliers } from './panels/outliers.tsx';
import { Percentiles } from './panels/percentiles.tsx';
import { Stages } from './panels/stages.tsx';
import { Timeline } from './panels/timeline.tsx';
import { TopBar } from './panels/top-bar.tsx';
import { Tree } from './panels/tree.tsx';
import { useAtom, useView } from './state.ts';

/** Whatever a strange trace makes a panel stumble over: the page says so instead of going blank. */
export class Guard extends Component<{ children: ComponentChildren }, { message: string | null }> {
  override state = { message: null as string | null };

  override componentDidMount(): void {
    // Another trace is another chance.
    phase.watch(() => {
      this.setState({ message: null });
    });
  }

  override componentDidCatch(error: unknown): void {
    this.setState({ message: error instanceof Error ? error.message : String(error) });
  }

  override render(): ComponentChildren {
    const { message } = this.state;
    if (message === null) return this.props.children;
    return (
      <div class="loading" role="alert">
        <p>This trace cannot be shown: {safeText(message)}</p>
        <p>
          <OpenFile text="Choose another page" />, or reload.
        </p>
      </div>
    );
  }
}

export function App(): JSX.Element {
  const now = useAtom(phase);
  if (now.at === 'ready') return <Page loaded={now.loaded} />;
  if (now.at === 'loading') return <p class="loading">{safeText(now.message ?? 'Reading the trace…')}</p>;
  return (
    <main class="loading">
      {now.at === 'failed' && (
        <div role="alert">
          <p>The trace cannot be shown: {safeText(now.message)}</p>
          <p>It may have been cut short.</p>
        </div>
      )}
      {now.at === 'empty' && <h1>This page holds no trace.</h1>}
      <p>
        Drop a trace directory here, or a page that <code>trace view T -o page.html</code> wrote; or choose{' '}
        <OpenFile text="a directory" directory /> or <OpenFile text="a page" />. Nothing leaves this machine.
      </p>
      <p class="hint">
        To make a trace: trace record --domid N -o T on the host, or trace import FILES -o T.
      </p>
      {samples().map((sample) => (
        <p key={sample.id}>
          Look at{' '}
          <button
            class="link"
            onClick={() => {
              openSample(sample);
            }}
          >
            {sample.dataset['sample']}
          </button>
        </p>
      ))}
    </main>
  );
}

function Page({ loaded }: { loaded: Loaded }): JSX.Element {
  const { family, tab, side } = useView('family', 'tab', 'side');
  const latest = useAtom(settled);
  const current = latest?.family === family ? latest.answer : null;
  const table = tableOf(loaded.data, family);
  useEffect(() => {
    document.title = `${safeText(loaded.data.report.trace?.path)} · ioreq-trace`;
  }, [loaded]);
  useEffect(() => {
    say(spoken());
  }, [current]);
  return (
    <>
      <Dialogs />
      <Exports loaded={loaded} />
      <TopBar loaded={loaded} />
      <Families loaded={loaded} />
      <Fault />
      {table !== undefined && table.rows < table.spans && loaded.part !== null && (
        <p class="banner" role="note">
          <b>All rows</b> of {duration(loaded.part.hi - loaded.part.lo)} from {instant(loaded.part.lo)} are
          here: figures of the time shown are exact.
        </p>
      )}
      {table !== undefined && table.rows < table.spans && loaded.part === null && (
        <p class="banner" role="note">
          <b>A sample.</b> The trace has {count(table.spans)} {FAMILY_UNIT[family]}; this page holds{' '}
          {count(table.rows)}: the slowest {count(table.slowest)}, and of the others one in{' '}
          {table.weight.toFixed(1)}, each counted that many times. Figures over everything, and the counts of
          overview and heatmap until it is zoomed far, are from all of them.
          {loaded.data.rows !== undefined &&
            (hasRows(side) ? (
              ' Zoomed further, all rows are read.'
            ) : (
              <>
                {' '}
                <OpenFile text="Open its .rows file" /> to zoom into all rows.
              </>
            ))}
        </p>
      )}
      {tab !== 'spans' ? (
        <div class="grid nothing">
          <main class="centre">{tab === 'timeline' ? <Timeline loaded={loaded} /> : <Compare />}</main>
          <aside class="right" tabIndex={0}>
            <DetailPanel loaded={loaded} />
            <About loaded={loaded} />
          </aside>
        </div>
      ) : (loaded.tables[family]?.usable ?? 0) === 0 ? (
        <Nothing loaded={loaded} />
      ) : (
        <div class="grid">
          <aside class="left" tabIndex={0}>
            {current !== null && <Tree loaded={loaded} groups={current.selection.groups} />}
          </aside>
          <main class="centre">
            <section class="panel" aria-label="Latency over time">
              <h2>
                Latency over time{' '}
                <span class="small">
                  {safeText(table?.plan.title)}
                  {current === null
                    ? ''
                    : ` · ${count(current.selection.distribution.count)} ${FAMILY_UNIT[family]}${current.selection.everything ? '' : ' chosen'}`}
                </span>
                <Fit loaded={loaded} />
                <span class="legend">
                  <i class="ramp" aria-hidden="true" /> few to many <i class="peak" aria-hidden="true" />{' '}
                  slowest
                </span>
              </h2>
              {current !== null && <Overview loaded={loaded} data={current.overview} />}
              <Heatmap loaded={loaded}>{current !== null && <TimeTable data={current.overview} />}</Heatmap>
            </section>
            {current !== null && (
              <>
                <div class="pair">
                  <Percentiles loaded={loaded} selection={current.selection} />
                  <Stages loaded={loaded} selection={current.selection} />
                </div>
                <FamilyTables loaded={loaded} selection={current.selection} />
                <section class="panel" aria-label="Flame graph">
                  <h2>
                    Flame graph{' '}
                    <span class="small">
                      device › {family === 'mmio' ? 'register' : family === 'request' ? 'queue' : 'line'} ›
                      direction › stage
                    </span>
                  </h2>
                  <Flame loaded={loaded} frames={current.selection.frames} />
                </section>
                <Outliers loaded={loaded} list={current.selection.outliers} />
              </>
            )}
          </main>
          <aside class="right" tabIndex={0}>
            <DetailPanel loaded={loaded} />
            <About loaded={loaded} />
          </aside>
        </div>
      )}
    </>
  );
}

/** A second trace that could not be loaded leaves the first as it was. */
function Fault(): JSX.Element | null {
  const message = useAtom(fault);
  if (message === null) return null;
  return (
    <p class="banner" role="alert">
      {safeText(message)}{' '}
      <button
        type="button"
        class="link"
        onClick={() => {
          fault.set(null);
        }}
      >
        Close
      </button>
    </p>
  );
}

/** Boots and idle ends make a trace long and its spans narrow: one click to the part that has some. */
function Fit({ loaded }: { loaded: Loaded }): JSX.Element | null {
  const { family, window } = useView('family', 'window');
  const table = loaded.tables[family];
  if (window !== null || table === undefined) return null;
  const margin = (table.last - table.first) * 0.01 + 1000;
  if (table.last - table.first + 2 * margin > 0.9 * loaded.duration) return null;
  return (
    <button
      type="button"
      class="link"
      onClick={() => {
        zoom({ lo: table.first - margin, hi: table.last + margin });
      }}
    >
      Fit to {FAMILY_UNIT[family]}
    </button>
  );
}

function Nothing({ loaded }: { loaded: Loaded }): JSX.Element {
  const { family } = useView('family');
  const spans = tableOf(loaded.data, family)?.spans ?? 0;
  return (
    <div class="grid nothing">
      <section class="panel">
        <h2>{FAMILY_TITLE[family]}</h2>
        <p>
          {spans === 0
            ? `This trace holds no ${FAMILY_UNIT[family]}. The hooks that show them were not set, or nothing happened.`
            : `None of the ${count(spans)} ${FAMILY_UNIT[family]} is complete and free of losses, so there is nothing to measure.`}
        </p>
      </section>
      <About loaded={loaded} />
    </div>
  );
}

/** The heatmap's twin for those who cannot see it. */
function TimeTable({ data }: { data: OverviewData }): JSX.Element {
  const parts = 20;
  const per = Math.ceil(data.x.length / parts);
  const rows = Array.from({ length: parts }, (_, p) => {
    const lo = p * per;
    const hi = Math.min(data.x.length, lo + per);
    const step = (data.x[1] ?? 1) - (data.x[0] ?? 0);
    const max = data.max.slice(lo, hi).reduce<number>((m, v) => Math.max(m, v ?? 0), 0);
    return { from: lo * step, n: data.count.subarray(lo, hi).reduce((a, b) => a + b, 0), max };
  });
  return (
    <details class="twin" id="heat-table">
      <summary>As a table</summary>
      <table class="figures">
        <thead>
          <tr>
            <th scope="col" class="n">
              from
            </th>
            <th scope="col" class="n">
              n
            </th>
            <th scope="col" class="n">
              slowest
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((r) => (
            <tr key={r.from}>
              <td class="n">{instant(r.from)}</td>
              <td class="n">{count(r.n)}</td>
              <td class="n">{r.max === 0 ? '–' : duration(r.max)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

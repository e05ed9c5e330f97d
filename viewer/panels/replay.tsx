import type { JSX } from 'preact';
import type { PageReplay } from '../../analyzer/page/page-format.ts';
import { showDivergence, type Loaded } from '../data.ts';
import { count, instant, safeText } from '../format.ts';
import { useView } from '../state.ts';

/** What the last replay of the trace's recording came to, and where it differed. */
export function Replay({ replay }: { replay: PageReplay }): JSX.Element {
  const { divergence } = useView('divergence');
  const { equal, proven, divergences } = replay;
  return (
    <>
      <h3>Replay</h3>
      <p class={equal ? 'hint' : 'warning'} id="replay-result">
        {equal ? 'Equal' : `⚠ Differs in ${count(replay.count)} places`}
        {equal && !proven ? ', not proven' : ''}: {safeText(replay.target)}, {safeText(replay.level)}
      </p>
      {divergences.length > 0 && (
        <table class="figures" id="replay-table">
          <thead>
            <tr>
              <th scope="col">step</th>
              <th scope="col">where</th>
              <th scope="col">recorded</th>
              <th scope="col">got</th>
            </tr>
          </thead>
          <tbody>
            {divergences.map((d, n) => (
              <tr
                key={n}
                class="pick"
                aria-selected={n === divergence}
                onClick={() => {
                  showDivergence(n);
                }}
              >
                <td class="n">{count(d.step)}</td>
                <td>
                  {safeText(d.where)} {safeText(d.field)}
                  {d.at_ns !== undefined && <span class="dim"> {instant(d.at_ns)}</span>}
                </td>
                <td>{safeText(d.expected)}</td>
                <td>{safeText(d.got)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

const WIDTH = 1000;

/** Where in the trace the replay differed: over its time, or over the recording's records where that is all there is. */
export function ReplayStrip({ loaded }: { loaded: Loaded }): JSX.Element | null {
  const { divergence } = useView('divergence');
  const { replay } = loaded.data.report;
  if (replay === undefined || replay.divergences.length === 0) return null;
  const list = replay.divergences;
  const timed = list.every((d) => d.at_ns !== undefined);
  const most = timed ? loaded.duration : Math.max(replay.records ?? 0, list.at(-1)!.step + 1);
  const places = list.map((d) => ((timed ? d.at_ns! : d.step) / most) * WIDTH);
  const chosen = list[divergence ?? -1];
  return (
    <div class="replay-strip">
      <p class="small">
        Replay differs in {count(replay.count)} places, here over{' '}
        {timed
          ? 'the trace’s time'
          : `the recording’s ${count(most)} records: it has no times, and which access of this trace is which of its own cannot be told`}
        . N: next.
      </p>
      <svg
        viewBox={`0 0 ${WIDTH} 20`}
        preserveAspectRatio="none"
        aria-hidden="true"
        onClick={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          const x = ((event.clientX - box.left) / box.width) * WIDTH;
          const off = places.map((place) => Math.abs(place - x));
          showDivergence(off.indexOf(Math.min(...off)));
        }}
      >
        {places.map((x, n) => (
          <rect
            key={n}
            class={n === divergence ? 'chosen' : ''}
            x={Math.min(WIDTH - 3, Math.max(0, x - 1.5))}
            width="3"
            height="20"
          />
        ))}
      </svg>
      <p id="divergence" role="status">
        {chosen !== undefined && (
          <>
            {divergence! + 1} of {list.length}: step {count(chosen.step)}
            {chosen.at_ns === undefined ? '' : `, access at ${instant(chosen.at_ns)}`},{' '}
            {safeText(chosen.where)} {safeText(chosen.field)}: recorded <b>{safeText(chosen.expected)}</b>,
            got <b>{safeText(chosen.got)}</b>
          </>
        )}
      </p>
    </div>
  );
}

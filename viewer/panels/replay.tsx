import type { JSX } from 'preact';
import type { PageReplay } from '../../analyzer/page/page-format.ts';
import { count, safeText } from '../format.ts';

/** What the last replay of the trace's recording came to, and where it differed. */
export function Replay({ replay }: { replay: PageReplay }): JSX.Element {
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
              <tr key={n}>
                <td class="n">{count(d.step)}</td>
                <td>
                  {safeText(d.where)} {safeText(d.field)}
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

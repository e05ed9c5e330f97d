import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { stageColour } from '../colours.ts';
import { tableOf, type Loaded } from '../data.ts';
import type { Outlier } from '../engine/query.ts';
import {
  columnUnit,
  count,
  deviceName,
  dirName,
  flagNames,
  instant,
  inUnit,
  keyName,
  KEY_TITLE,
  safeText,
} from '../format.ts';
import { showTimeline, update, useView } from '../state.ts';

const FIRST = 50;

export function Outliers({ loaded, list }: { loaded: Loaded; list: readonly Outlier[] }): JSX.Element {
  const { family, outliersBy, selected } = useView('family', 'outliersBy', 'selected');
  const [shown, setShown] = useState(FIRST);
  const stages = tableOf(loaded.data, family)?.plan.stages ?? [];
  const groups = loaded.tables[family]?.groups ?? [];
  const unit = columnUnit(list.map((o) => o.total));
  const by = stages.findIndex((s) => s.name === outliersBy);
  const most = Math.max(1, ...list.map((o) => o.total));
  const back = useRef<HTMLTableRowElement>(null);
  // Who comes back from the timeline stands where they left.
  useEffect(() => {
    if (document.activeElement === document.body) back.current?.focus({ preventScroll: false });
  }, []);
  const pick = (row: number): void => {
    showTimeline(family, row);
  };
  return (
    <section class="panel" aria-label="Slowest">
      <h2>
        Slowest{' '}
        <label class="small">
          by{' '}
          <select
            value={by < 0 ? 'total' : outliersBy}
            onChange={(event) => {
              update({ outliersBy: event.currentTarget.value });
            }}
          >
            <option value="total">whole latency</option>
            {stages.map((s) => (
              <option key={s.name} value={s.name}>
                {safeText(s.title)}
              </option>
            ))}
          </select>
        </label>
      </h2>
      <div class="scroll">
        <table class="figures outliers" role="grid">
          <thead>
            <tr>
              <th scope="col" class="n">
                #
              </th>
              <th scope="col" class="n">
                started at
              </th>
              <th scope="col">Device</th>
              <th scope="col">{KEY_TITLE[family]}</th>
              <th scope="col" />
              <th scope="col" class="n">
                vCPU
              </th>
              {by >= 0 && (
                <th scope="col" class="n">
                  {safeText(stages[by]!.title)} {unit.name}
                </th>
              )}
              <th scope="col" class="n">
                latency {unit.name}
              </th>
              <th scope="col" class="wide">
                stages
              </th>
            </tr>
          </thead>
          <tbody>
            {list.slice(0, shown).map((o, k) => {
              const g = groups[o.group];
              const notes = flagNames(o.flags);
              return (
                <tr
                  key={o.row}
                  class="pick"
                  tabIndex={0}
                  ref={selected === o.row ? back : null}
                  aria-selected={selected === o.row}
                  onClick={() => {
                    pick(o.row);
                  }}
                  onKeyDown={(event) => {
                    if (event.key === 'Enter' || event.key === ' ') {
                      event.preventDefault();
                      pick(o.row);
                    }
                  }}
                >
                  <td class="n dim">{k + 1}</td>
                  <td class="n">{instant(o.start)}</td>
                  <td>{g === undefined ? '' : deviceName(loaded.data, g.device)}</td>
                  <td>{g === undefined ? '' : keyName(family, g.key)}</td>
                  <td class="dir">{g === undefined ? '' : dirName(family, g.dir)}</td>
                  <td class="n">{o.vcpu === 0xffff ? '–' : o.vcpu}</td>
                  {by >= 0 && <td class="n">{inUnit(o.stages[by], unit)}</td>}
                  <td class="n strong" data-ns={o.total}>
                    {inUnit(o.total, unit)}
                  </td>
                  <td class="wide" title={notes.join(', ')}>
                    <span class="mini" style={{ width: `${(o.total / most) * 100}%` }}>
                      {o.stages.map((ns, s) =>
                        ns > 0 ? (
                          <i
                            key={s}
                            style={{
                              width: `${Math.min(100, (ns / o.total) * 100)}%`,
                              background: stageColour(s),
                            }}
                          />
                        ) : null,
                      )}
                    </span>
                    {notes.length > 0 && <span class="flag">{notes[0]}</span>}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {list.length === 0 && <p class="hint">Nothing in this part.</p>}
      {list.length > shown && (
        <button
          type="button"
          class="link"
          onClick={() => {
            setShown(shown + 100);
          }}
        >
          {count(shown)} of the slowest {count(list.length)} shown: show more
        </button>
      )}
    </section>
  );
}

import type { JSX } from 'preact';
import type { Loaded } from '../data.ts';
import type { GroupFigures } from '../engine/query.ts';
import { columnUnit, count, deviceName, dirName, inUnit, KEY_TITLE, keyName } from '../format.ts';
import { update, useView } from '../state.ts';

const idOf = (g: GroupFigures): string => (g.key < 0 ? `${g.device}` : `${g.device}:${g.key}:${g.dir}`);

/** Devices and, below each, its registers, lines or queues. A click limits everything to that row. */
export function Tree({ loaded, groups }: { loaded: Loaded; groups: readonly GroupFigures[] }): JSX.Element {
  const { family, groups: chosen } = useView('family', 'groups');
  const unit = columnUnit(
    groups.flatMap((g) => [g.p50, g.p99]),
    true,
  );
  const devices = groups.filter((g) => g.key < 0).sort((a, b) => a.device - b.device);
  const pick = (id: string, more: boolean): void => {
    const has = chosen.includes(id);
    if (more) update({ groups: has ? chosen.filter((g) => g !== id) : [...chosen, id] });
    else update({ groups: has && chosen.length === 1 ? [] : [id] });
  };
  const row = (g: GroupFigures, name: JSX.Element, level: string): JSX.Element => {
    const id = idOf(g);
    return (
      <tr
        key={id}
        class={`${level} pick`}
        tabIndex={0}
        aria-selected={chosen.includes(id)}
        onClick={(event) => {
          pick(id, event.ctrlKey || event.metaKey);
        }}
        onKeyDown={(event) => {
          if (event.key !== 'Enter' && event.key !== ' ') return;
          event.preventDefault();
          pick(id, event.ctrlKey || event.metaKey);
        }}
      >
        <td class="name">{name}</td>
        <td class="spark">
          <Spark counts={g.spark} />
        </td>
        <td class="n">{count(g.count)}</td>
        <td class={g.count < 20 ? 'n weak' : 'n'}>{inUnit(g.p50, unit)}</td>
        <td class={g.count < 1000 ? 'n weak' : 'n'}>{inUnit(g.p99, unit)}</td>
      </tr>
    );
  };
  return (
    <section class="panel tree" aria-label="Devices">
      <h2>
        Devices <span class="small">{unit.name} · click = only this</span>
      </h2>
      <table class="figures" aria-multiselectable="true" role="grid">
        <thead>
          <tr>
            <th scope="col">{KEY_TITLE[family]}</th>
            <th scope="col" class="spark">
              <span class="unseen">over time</span>
            </th>
            <th scope="col" class="n">
              n
            </th>
            <th scope="col" class="n">
              p50
            </th>
            <th scope="col" class="n">
              p99
            </th>
          </tr>
        </thead>
        <tbody>
          {devices.map((device) => [
            row(device, <b>{deviceName(loaded.data, device.device)}</b>, 'device'),
            groups
              .filter((g) => g.device === device.device && g.key >= 0)
              .sort((a, b) => b.totalNs - a.totalNs)
              .slice(0, 200)
              .map((g) =>
                row(
                  g,
                  <>
                    <span class="dir" title={dirName(family, g.dir)}>
                      {family === 'mmio'
                        ? dirName(family, g.dir).slice(0, 1).toUpperCase()
                        : dirName(family, g.dir)}
                    </span>{' '}
                    {keyName(family, g.key)}
                  </>,
                  'key',
                ),
              ),
          ])}
        </tbody>
      </table>
      {groups.length === 0 && <p class="hint">Nothing in this part.</p>}
    </section>
  );
}

/** How many over the time shown. */
function Spark({ counts }: { counts: Uint32Array }): JSX.Element {
  const most = Math.max(1, ...counts);
  const bars = [...counts].map((n, k) =>
    n === 0 ? '' : `M${k + 0.5} 10v-${Math.max(1.5, (n / most) * 10).toFixed(1)}`,
  );
  return (
    <svg viewBox={`0 0 ${counts.length} 10`} preserveAspectRatio="none" aria-hidden="true">
      <path d={bars.join('')} />
    </svg>
  );
}

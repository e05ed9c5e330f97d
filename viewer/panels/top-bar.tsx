import type { JSX } from 'preact';
import { showSide, sides, type Loaded } from '../data.ts';
import { help, menu } from '../dialogs.ts';
import { count, duration, plainCount, safeText } from '../format.ts';
import { update, useAtom, useView } from '../state.ts';
import { useTheme } from '../theme.ts';

export function TopBar({ loaded }: { loaded: Loaded }): JSX.Element {
  const { side } = useView('side');
  const second = useAtom(sides)[1];
  const theme = useTheme();
  const { report } = loaded.data;
  const lost = report.counts?.lost ?? 0;
  const error = report.clock?.error_ns;
  const kicks = report.counts?.answered_by_ioeventfd;
  const name = safeText(report.trace?.path);
  return (
    <header class="top">
      <h1>
        {name === '' ? 'trace' : name}
        <span class="brand">ioreq-trace</span>
      </h1>
      {second !== null && (
        <span class="segments" role="group" aria-label="Which trace">
          {([0, 1] as const).map((n) => (
            <button
              type="button"
              key={n}
              aria-pressed={side === n}
              onClick={() => {
                showSide(n);
              }}
            >
              {n === 0 ? 'A' : 'B'}
            </button>
          ))}
        </span>
      )}
      <dl class="facts">
        {typeof report.trace?.domid === 'number' && <Fact name="domain" value={`d${report.trace.domid}`} />}
        <Fact name="length" value={duration(loaded.duration)} />
        {report.counts?.ioreqs !== undefined && <Fact name="ioreqs" value={count(report.counts.ioreqs)} />}
        {typeof kicks === 'number' && kicks > 0 && (
          <Fact
            name="answered by ioeventfd"
            value={count(kicks)}
            hint="kicks that Dom0's kernel answered itself: they have no stage in the device model"
          />
        )}
        {typeof error === 'number' && (
          <Fact
            name="clocks agree to"
            value={`±${duration(error)}`}
            hint="Xen and Dom0 are read on different clocks; stages between them are uncertain by this much"
          />
        )}
        <div class={lost > 0 ? 'fact bad' : 'fact'}>
          <dt>lost records</dt>
          <dd>{lost > 0 ? `⚠ ${plainCount(lost)}` : 'none'}</dd>
        </div>
      </dl>
      <button
        type="button"
        class="plain"
        onClick={() => {
          menu.set(true);
        }}
      >
        Export (E)
      </button>
      <button
        type="button"
        class="plain"
        onClick={() => {
          help.set(true);
        }}
      >
        Keys (?)
      </button>
      <button
        type="button"
        class="theme"
        onClick={() => {
          update({ theme: theme === 'dark' ? 'light' : 'dark' });
        }}
      >
        {theme === 'dark' ? 'Light' : 'Dark'}
      </button>
    </header>
  );
}

function Fact({ name, value, hint }: { name: string; value: string; hint?: string }): JSX.Element {
  return (
    <div class="fact" title={hint}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

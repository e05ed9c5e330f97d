import type { JSX } from 'preact';
import { SPAN_FAMILIES, type HostFacts } from '../../trace/manifest.ts';
import { familyReport, type Loaded } from '../data.ts';
import { count, duration, FAMILY_TITLE, safeText } from '../format.ts';
import { Replay } from './replay.tsx';

const HOST: readonly [keyof HostFacts, string][] = [
  ['xenVersion', 'Xen'],
  ['linuxVersion', 'Dom0 Linux'],
  ['machine', 'machine'],
  ['deviceModel', 'device model'],
];

/** How far the figures can be trusted: losses, clocks, what was left out, and on what it was recorded. */
export function About({ loaded }: { loaded: Loaded }): JSX.Element {
  const { report } = loaded.data;
  const host = report.trace?.host ?? {};
  const left = SPAN_FAMILIES.flatMap((family) =>
    (familyReport(loaded.data, family).left_out ?? []).map((l) => ({ family, ...l })),
  ).filter((l) => l.count > 0);
  const hz = host.counterHz;
  const counts = Object.entries(report.counts ?? {}).filter(
    (e): e is [string, number] => typeof e[1] === 'number',
  );
  return (
    <section class="panel about" aria-label="About this trace">
      <h2>About this trace</h2>
      {(report.warnings ?? []).map((w) => (
        <p class="warning" key={w}>
          ⚠ {safeText(w)}
        </p>
      ))}
      {typeof report.clock?.warning === 'string' && <p class="warning">⚠ {safeText(report.clock.warning)}</p>}
      {report.replay !== undefined && <Replay replay={report.replay} />}
      <h3>Left out of the figures</h3>
      {left.length === 0 ? (
        <p class="hint">No span.</p>
      ) : (
        <table class="figures">
          <tbody>
            {left.map((l) => (
              <tr key={`${l.family} ${l.why}`}>
                <td>
                  {FAMILY_TITLE[l.family]}: {safeText(l.why)}
                </td>
                <td class="n">{count(l.count)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <h3>Counted</h3>
      <dl class="pairs">
        {counts.map(([name, n]) => (
          <Row key={name} name={safeText(name).replace(/_/g, ' ')} value={count(n)} />
        ))}
      </dl>
      {(report.counts?.by_source ?? []).length > 0 && (
        <>
          <h3>Ioreqs as each source saw them</h3>
          <dl class="pairs">
            {(report.counts?.by_source ?? []).map((s) => (
              <Row key={s.what} name={safeText(s.what)} value={count(s.ioreqs)} />
            ))}
          </dl>
        </>
      )}
      <h3>Recorded on</h3>
      <dl class="pairs">
        {HOST.map(([key, title]) => {
          const value = safeText(host[key]);
          return value === '' ? null : <Row key={key} name={title} value={value} />;
        })}
        {typeof hz === 'number' && (
          <Row name="counter" value={`${hz / 1e6}\u202fMHz, ${duration(1e9 / hz)} a tick`} />
        )}
        {typeof report.clock?.error_ns === 'number' && (
          <Row name="clock error" value={`±${duration(report.clock.error_ns)}`} />
        )}
      </dl>
    </section>
  );
}

function Row({ name, value }: { name: string; value: string }): JSX.Element {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </>
  );
}

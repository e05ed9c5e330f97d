import type { JSX } from 'preact';
import type { PageReport } from '../../analyzer/page/page-format.ts';
import { NO_VCPU } from '../../trace/ids.ts';
import { PREEMPTED, SPAN_FLAG, type Boundary, type SpanFamily, type SpanPlan } from '../../trace/spans.ts';
import { stageColour } from '../colours.ts';
import { detail, tableOf, type Loaded } from '../data.ts';
import { count, duration, FAMILY_UNIT, flagNames, groupName, instant, percent, safeText } from '../format.ts';
import type { Detail } from '../protocol.ts';
import { update, useAtom, useView } from '../state.ts';
import { StageName } from './stages.tsx';

const NOUN: Record<SpanFamily, string> = {
  mmio: 'access',
  interrupt: 'interrupt',
  injection: 'injection',
  request: 'request',
};
const AMOUNT: Record<SpanFamily, string> = {
  mmio: 'size',
  interrupt: 'raises',
  injection: 'raises',
  request: 'bytes',
};
const VALUE: Record<SpanFamily, string> = {
  mmio: 'data (low 32 bits)',
  interrupt: 'status bits',
  injection: 'value',
  request: 'queue depth',
};

/** One span in full: what, when, how long, and every boundary it crossed. */
export function DetailPanel({ loaded }: { loaded: Loaded }): JSX.Element {
  const { family, selected } = useView('family', 'selected');
  const d = useAtom(detail);
  if (selected === null || d === null || d.family !== family) {
    return (
      <section class="panel detail" aria-label="Chosen span">
        <h2>Chosen {NOUN[family]}</h2>
        <p class="hint">Click a row of “Slowest” to see its stages with their times.</p>
      </section>
    );
  }
  const plan = tableOf(loaded.data, family)?.plan;
  const name = groupName(loaded.data, family, d.group);
  const hex = `0x${d.value.toString(16)}`;
  const lost = d.stages[plan?.stages.findIndex((s) => s.name === PREEMPTED) ?? -1] ?? 0;
  return (
    <section class="panel detail" aria-label="Chosen span">
      <h2>
        Chosen {NOUN[family]}
        <button
          type="button"
          class="link"
          onClick={() => {
            update({ selected: null });
          }}
        >
          Close
        </button>
      </h2>
      <p class="headline">
        <b>{duration(d.total)}</b> {name}
      </p>
      <p class="small">
        slower than {percent(d.fasterGroup)} of {count(d.groupCount)} × {name}, and than{' '}
        {percent(d.fasterAll)} of all {FAMILY_UNIT[family]}
      </p>
      {plan !== undefined && <Waterfall loaded={loaded} plan={plan} d={d} />}
      <dl class="pairs">
        {lost > 0 && <Pair name="vCPU preempted meanwhile" value={duration(lost)} />}
        <Pair name="starts at" value={instant(d.start)} />
        {d.vcpu !== NO_VCPU && <Pair name="vCPU" value={`v${d.vcpu}`} />}
        <Pair name={AMOUNT[family]} value={family === 'mmio' ? `${d.amount} B` : count(d.amount)} />
        {family !== 'injection' && (
          <Pair name={VALUE[family]} value={family === 'request' ? count(d.value) : hex} />
        )}
        {(family === 'interrupt' || family === 'request') && (
          <Pair name={family === 'request' ? 'notify' : 'number'} value={`#${d.joint}`} />
        )}
        {d.flags !== 0 && <Pair name="notes" value={flagNames(d.flags).join(', ')} />}
      </dl>
      {(d.flags & SPAN_FLAG.INCOMPLETE) !== 0 && (
        <p class="hint">
          A boundary is missing: the two stages beside it are not known and count in no figure.
        </p>
      )}
    </section>
  );
}

const CLOCK_NAMES = { xen: 'Xen', dom0: 'Dom0', dm: 'log' } as const;

/** What a stage between two clocks may be off by: Xen's against Dom0's, and the device model's log's. ns. */
function stageError(a: Boundary | undefined, b: Boundary | undefined, clock: PageReport['clock']): number {
  const clocks = [a?.clock, b?.clock];
  const ofXen = clocks.includes('xen') ? (clock?.error_ns ?? 0) : 0;
  return ofXen + (clocks.includes('dm') ? (clock?.log_max_error_ns ?? 0) : 0);
}

function Waterfall({ loaded, plan, d }: { loaded: Loaded; plan: SpanPlan; d: Detail }): JSX.Element {
  const known = d.at.filter((t) => !Number.isNaN(t));
  const first = Math.min(d.start, ...known);
  const length = Math.max(1, Math.max(...known, d.start) - first);
  const place = (ns: number): number => ((ns - first) / length) * 100;
  const { clock } = loaded.data.report;
  const time = (b: number): number => d.at[b] ?? NaN;
  const boundary = (name: string): number => plan.boundaries.findIndex((b) => b.name === name);
  return (
    <div class="waterfall">
      {plan.boundaries.map((b, k) => {
        const s = plan.stages.findIndex((stage) => boundary(stage.from) === k);
        const stage = plan.stages[s];
        const to = stage === undefined ? NaN : time(boundary(stage.to));
        const ns = d.stages[s] ?? NaN;
        const late = b.bound === 'no-later-than';
        const error = stageError(plan.boundaries[k], plan.boundaries[k + 1], clock);
        return (
          <div key={b.name}>
            <div class={late ? 'boundary late' : 'boundary'}>
              <span>
                {whatHappens(plan, k)} <span class="clock">{CLOCK_NAMES[b.clock]}</span>
              </span>
              <span
                class="n"
                title={late ? 'no later than: Xen sees it when the vCPU next leaves the guest' : undefined}
              >
                {late && !Number.isNaN(time(k)) ? '≤ ' : ''}
                {instant(time(k))}
              </span>
            </div>
            {stage !== undefined && (
              <div class="stage-row">
                <span class="stage-head">
                  <StageName stage={stage} index={s} />
                  <span class={stage.bound === 'no-later-than' ? 'n late' : 'n'}>
                    {Number.isNaN(ns)
                      ? 'not known'
                      : `${stage.bound === 'no-later-than' ? '≤ ' : ''}${duration(ns)}`}
                    {stage.crossesClocks && error > 0 ? ` ±${duration(error)}` : ''}
                  </span>
                </span>
                <span class="track">
                  {!Number.isNaN(ns) && (
                    <i
                      class={stage.bound === 'no-later-than' ? 'fades' : ''}
                      style={{
                        left: `${place(Math.min(time(k), to))}%`,
                        width: `${Math.max(0.7, (Math.abs(to - time(k)) / length) * 100)}%`,
                        background: stageColour(s),
                      }}
                    />
                  )}
                </span>
              </div>
            )}
          </div>
        );
      })}
    </div>
  );
}

/** What happens at a boundary, in words: stage titles are `from → to`. */
function whatHappens(plan: SpanPlan, k: number): string {
  const leaving = plan.stages[k]?.title.split(' → ')[0];
  const reached = plan.stages[k - 1]?.title.split(' → ')[1];
  return safeText(leaving ?? reached ?? plan.boundaries[k]?.name);
}

function Pair({ name, value }: { name: string; value: string }): JSX.Element {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </>
  );
}

import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { NO_VCPU } from '../../trace/ids.ts';
import { PREEMPTED } from '../../trace/spans.ts';
import { draw, useWidth } from '../charts/canvas.ts';
import { CLASSES, lanesOf, missingHooks, placeLane, type Bar } from '../charts/timeline-lanes.ts';
import {
  barAt,
  labelOf,
  laneAt,
  LEFT,
  markAt,
  paintTimeline,
  timeOf,
  viewOf,
  type Mark,
} from '../charts/timeline-paint.ts';
import { stageColour } from '../colours.ts';
import {
  pan,
  scene as sceneAtom,
  showDivergence,
  stepOutlier,
  tableOf,
  zoomTimeline,
  type Loaded,
} from '../data.ts';
import { say } from '../dialogs.ts';
import type { Range } from '../engine/query.ts';
import type { Scene, Told } from '../engine/timeline.ts';
import { count, duration, FAMILY_UNIT, groupName, instant, percent, safeText } from '../format.ts';
import { COLOUR_BY, showTimeline, update, useAtom, useView } from '../state.ts';
import { useTheme } from '../theme.ts';
import { ReplayStrip } from './replay.tsx';
import { StageName } from './stages.tsx';

/** One request on one path through vCPU, Xen, Dom0, device model, queue and line, among its neighbours. */
export function Timeline({ loaded }: { loaded: Loaded }): JSX.Element {
  const { selected, family } = useView('selected', 'family');
  const scene = useAtom(sceneAtom);
  return (
    <section class="panel timeline" aria-label="Timeline">
      <ReplayStrip loaded={loaded} />
      {selected === null ? (
        <p class="hint">
          No span is chosen. Choose a row of “Slowest” (click, or Enter): its path is drawn here. <Back />
        </p>
      ) : scene?.chosen.row === selected && scene.chosen.family === family ? (
        <Story loaded={loaded} scene={scene} />
      ) : (
        <p class="hint">Reading…</p>
      )}
    </section>
  );
}

function Back(): JSX.Element {
  return (
    <button
      type="button"
      class="link"
      onClick={() => {
        update({ tab: 'spans' });
      }}
    >
      Back to the cloud (Esc)
    </button>
  );
}

function Story({ loaded, scene }: { loaded: Loaded; scene: Scene }): JSX.Element {
  const { span, lanes: first, colourBy } = useView('span', 'lanes', 'colourBy');
  const chosen = scene.story.find((s) => s.row === scene.chosen.row && s.family === scene.chosen.family)!;
  const lanes = useMemo(() => lanesOf(loaded.data, scene, first, colourBy), [loaded, scene, first, colourBy]);
  const requests = scene.families.some((f) => f.family === 'request' && f.rows.length > 0);
  const missing = useMemo(() => missingHooks(tableOf(loaded.data, 'mmio')?.plan), [loaded]);
  const more = scene.families.filter((f) => f.more > 0);
  const fit = (range: Range): void => {
    const margin = Math.max(500, (range.hi - range.lo) * 0.1);
    zoomTimeline({ lo: range.lo - margin, hi: range.hi + margin });
  };
  return (
    <>
      <h2>
        {groupName(loaded.data, chosen.family, chosen.group)}{' '}
        <span class="small">from {instant(chosen.start)}</span>
        <span class="legend">
          <button
            type="button"
            class="link"
            onClick={() => {
              stepOutlier(-1);
            }}
          >
            Slower (,)
          </button>
          <button
            type="button"
            class="link"
            onClick={() => {
              stepOutlier(1);
            }}
          >
            Next (.)
          </button>
          <button
            type="button"
            class="link"
            onClick={() => {
              fit(scene.own);
            }}
          >
            Fit span
          </button>
          <button
            type="button"
            class="link"
            onClick={() => {
              fit(scene.whole);
            }}
          >
            Fit whole request
          </button>
          <Back />
        </span>
      </h2>
      <p class="verdict">{verdict(loaded, chosen)}</p>
      {requests && <Colours />}
      <Lanes loaded={loaded} lanes={lanes} scene={scene} window={span ?? scene.window} />
      {more.length > 0 && (
        <p class="hint">
          Too many to draw: {more.map((f) => `${count(f.more)} shorter ${FAMILY_UNIT[f.family]}`).join(', ')}{' '}
          left out. Zoom in to see them.
        </p>
      )}
      {lanes.hidden.length > 0 && <p class="hint">Lanes left out: {lanes.hidden.slice(0, 12).join(', ')}</p>}
      {missing.length > 0 && (
        <p class="hint" id="missing-hooks">
          Not recorded, so not drawn: {missing.join('; ')}. What a vCPU does between its accesses is in no
          span.
        </p>
      )}
      <Steps loaded={loaded} scene={scene} />
    </>
  );
}

/** What colours a queue's requests, with what the colours mean. */
function Colours(): JSX.Element {
  const { colourBy } = useView('colourBy');
  return (
    <p class="small colours">
      <label>
        Requests by{' '}
        <select
          value={colourBy}
          onChange={(event) => {
            const by = event.currentTarget.value;
            update({ colourBy: COLOUR_BY.find((one) => one === by) ?? 'stage' });
          }}
        >
          {COLOUR_BY.map((by) => (
            <option key={by}>{by}</option>
          ))}
        </select>
      </label>
      {colourBy !== 'stage' &&
        CLASSES[colourBy].map((name, k) => (
          <span key={name}>
            <i class="swatch" style={{ background: stageColour(k) }} />
            {name}
          </span>
        ))}
    </p>
  );
}

/** The answer in a sentence. */
function verdict(loaded: Loaded, s: Told): string {
  const stages = tableOf(loaded.data, s.family)?.plan.stages ?? [];
  let longest = -1;
  stages.forEach((stage, k) => {
    if (stage.inTotal && s.stages[k]! > (s.stages[longest] ?? 0)) longest = k;
  });
  const name = groupName(loaded.data, s.family, s.group);
  const whole = `${name} took ${duration(s.total)}`;
  if (longest < 0) return `${whole}.`;
  const ns = s.stages[longest]!;
  return `${whole}; ${duration(ns)} of it (${percent(ns / s.total)}): ${safeText(stages[longest]!.title)}.`;
}

function Lanes({
  loaded,
  lanes,
  scene,
  window,
}: {
  loaded: Loaded;
  lanes: ReturnType<typeof lanesOf>;
  scene: Scene;
  window: Range;
}): JSX.Element {
  const theme = useTheme();
  const { pins, lanes: first, divergence } = useView('pins', 'lanes', 'divergence');
  const [cursor, setCursor] = useState(-1);
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const drag = useRef<{ x: number; y: number; window: Range; moved: boolean } | null>(null);
  const [over, setOver] = useState<Bar | null>(null);
  const width = useWidth(box);
  const v = viewOf(lanes.lanes, window, width);
  const differs = useMemo(
    () =>
      (loaded.data.report.replay?.divergences ?? []).map((d, n): Mark => {
        const name = n === divergence ? safeText(`${d.where}: recorded ${d.expected}, got ${d.got}`) : '';
        return { t: d.at_ns ?? NaN, name, bad: true };
      }),
    [loaded, divergence],
  );
  /** To a place among the lanes; null: to where it belongs. */
  const put = (lane: number, to: number | null): void => {
    const { id, title } = lanes.lanes[lane]!;
    update({ lanes: placeLane(lanes.lanes, first, id, to) });
    say(to === null ? `${title}: no longer first` : `${title}: lane ${to + 1} of ${lanes.lanes.length}`);
  };

  useEffect(() => {
    if (canvas.current === null || width <= LEFT) return;
    draw(canvas.current, width, v.height, (c) => {
      paintTimeline(c, lanes, v, scene.own.lo, over, [...pins, ...differs], cursor);
    });
  }, [lanes, width, theme, window.lo, window.hi, over, pins, differs, cursor]);

  const place = (event: MouseEvent): { x: number; y: number } => {
    const rect = canvas.current!.getBoundingClientRect();
    return { x: event.clientX - rect.left, y: event.clientY - rect.top };
  };

  useEffect(() => {
    const target = canvas.current;
    if (target === null) return undefined;
    const wheel = (event: WheelEvent): void => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const t = timeOf(v, place(event).x);
      const f = 1.0025 ** event.deltaY;
      zoomTimeline({ lo: t - (t - window.lo) * f, hi: t + (window.hi - t) * f });
    };
    target.addEventListener('wheel', wheel, { passive: false });
    return () => {
      target.removeEventListener('wheel', wheel);
    };
  });

  return (
    <>
      <div class="canvas-box" ref={box} style={{ height: `${v.height}px` }}>
        <canvas
          ref={canvas}
          class="layer interactive lanes"
          tabIndex={0}
          role="application"
          aria-label="Timeline of the chosen span. A, D move, W, S zoom; up and down choose a lane, Shift moves it, Enter puts it first. The table below has every instant."
          aria-details="timeline-steps"
          onPointerDown={(event) => {
            drag.current = { ...place(event), window, moved: false };
            canvas.current?.setPointerCapture(event.pointerId);
          }}
          onPointerMove={(event) => {
            const at = place(event);
            const from = drag.current;
            if (from === null) {
              setOver(barAt(lanes, v, at.x, at.y));
              return;
            }
            if (Math.abs(at.x - from.x) > 3 || Math.abs(at.y - from.y) > 6) from.moved = true;
            if (from.x < LEFT) return;
            const by = ((at.x - from.x) / (width - LEFT)) * (from.window.hi - from.window.lo);
            if (from.moved) zoomTimeline({ lo: from.window.lo - by, hi: from.window.hi - by });
          }}
          onPointerUp={(event) => {
            const from = drag.current;
            const to = place(event);
            drag.current = null;
            if (from === null) return;
            const mark = markAt(differs, v, to.x, to.y);
            if (from.x < LEFT) {
              const lane = laneAt(v, from.y);
              if (from.moved) put(lane, laneAt(v, to.y));
              else put(lane, lanes.lanes[lane]?.pinned === true ? null : 0);
            } else if (from.moved) return;
            else if (mark >= 0) showDivergence(mark);
            else if (over !== null) showTimeline(over.family, over.span);
          }}
          onKeyDown={(event) => {
            const { key, shiftKey } = event;
            const by = { ArrowUp: -1, ArrowDown: 1 }[key];
            const aside = { ArrowLeft: -1, ArrowRight: 1 }[key];
            if (by !== undefined) {
              const to = Math.max(0, Math.min(lanes.lanes.length - 1, cursor + by));
              if (shiftKey && cursor >= 0) put(cursor, to);
              else say(`Lane ${lanes.lanes[to]!.title}`);
              setCursor(to);
            } else if (aside !== undefined) pan(shiftKey ? 4 * aside : aside);
            else if (key === 'Enter' && cursor >= 0) {
              put(cursor, lanes.lanes[cursor]?.pinned === true ? null : 0);
              setCursor(-1);
            } else return;
            event.preventDefault();
          }}
          onPointerLeave={() => {
            if (drag.current === null) setOver(null);
          }}
          onDblClick={() => {
            zoomTimeline(null);
          }}
        />
      </div>
      <p class="readout" aria-live="polite">
        {over === null ? (
          <span class="hint">
            Drag: move · Ctrl-wheel: zoom · click a bar: that span · double click: reset · click a lane’s
            name: put it first (▲); drag it: elsewhere
          </span>
        ) : (
          `${labelOf(over)} · from ${instant(over.from)}${over.torn ? ' · an instant between was not seen' : ''}`
        )}
      </p>
    </>
  );
}

/** The story as a table: every number of the picture. */
function Steps({ loaded, scene }: { loaded: Loaded; scene: Scene }): JSX.Element {
  const offset = (t: number): string => (Number.isNaN(t) ? 'not seen' : duration(t - scene.own.lo));
  return (
    <table class="figures steps" id="timeline-steps">
      <thead>
        <tr>
          <th scope="col">The story, step by step</th>
          <th scope="col" class="n">
            begins at
          </th>
          <th scope="col" class="n">
            took
          </th>
        </tr>
      </thead>
      {scene.story.map((s) => {
        const plan = tableOf(loaded.data, s.family)?.plan;
        const own = s.row === scene.chosen.row && s.family === scene.chosen.family;
        return (
          <tbody key={`${s.family} ${s.row}`}>
            <tr class={own ? 'own' : ''}>
              <th scope="rowgroup">
                {groupName(loaded.data, s.family, s.group)} {s.vcpu === NO_VCPU ? '' : `· v${s.vcpu} `}
                {own ? (
                  '· chosen'
                ) : (
                  <button
                    type="button"
                    class="link"
                    onClick={() => {
                      showTimeline(s.family, s.row);
                    }}
                  >
                    choose
                  </button>
                )}
              </th>
              <td class="n">{offset(s.start)}</td>
              <td class="n strong" data-ns={s.total}>
                {duration(s.total)}
              </td>
            </tr>
            {plan?.stages.map((stage, k) => {
              const begins = s.at[plan.boundaries.findIndex((b) => b.name === stage.from)] ?? NaN;
              const ns = s.stages[k]!;
              return (
                <tr key={stage.name} class={stage.bound === 'no-later-than' ? 'late' : ''}>
                  <td class="step">
                    <StageName stage={stage} index={k} />
                    <span class="dim"> {safeText(stage.title)}</span>
                  </td>
                  <td class="n">{stage.name === PREEMPTED ? '' : offset(begins)}</td>
                  <td class="n" data-ns={ns}>
                    {Number.isNaN(ns)
                      ? 'not known'
                      : `${stage.bound === 'no-later-than' ? '≤ ' : ''}${duration(ns)}`}
                  </td>
                </tr>
              );
            })}
          </tbody>
        );
      })}
    </table>
  );
}

import { SPAN_FAMILIES } from '../trace/manifest.ts';
import {
  answer,
  fit,
  goTo,
  pan,
  phase,
  scene,
  showDivergence,
  showSide,
  stepOutlier,
  tableOf,
  zoom,
  zoomBy,
  zoomTimeline,
} from './data.ts';
import { ask, help, menu, say } from './dialogs.ts';
import { duration, FAMILY_TITLE, instant } from './format.ts';
import { stepHistory } from './history.ts';
import { showFamily, showTimeline, update, view } from './state.ts';
import { systemDark } from './theme.ts';
import { parseTime } from './units.ts';

export interface Key {
  /** KeyboardEvent.code: the place on the keyboard, the same on every layout. */
  code: string;
  shows: string;
  text: string;
  run: (large: boolean) => void;
}

const FAR = 4;
const WRONG = 'Write a time such as 1.25ms, 200us or 3s.';
/** A span by its number, from 0 in the order of their starts: #17. */
const NUMBER = /^\s*#(\d{1,9})\s*$/;

export const KEYS: readonly Key[] = [
  ...SPAN_FAMILIES.map((family, n) => ({
    code: `Digit${n + 1}`,
    shows: String(n + 1),
    text: FAMILY_TITLE[family],
    run: () => {
      showFamily(family);
    },
  })),
  {
    code: 'Digit5',
    shows: '5',
    text: 'Timeline of the chosen span',
    run: () => {
      update({ tab: 'timeline' });
    },
  },
  {
    code: 'Digit6',
    shows: '6',
    text: 'Compare two traces',
    run: () => {
      update({ tab: 'compare' });
    },
  },
  {
    code: 'KeyB',
    shows: 'B',
    text: 'The other of two traces',
    run: () => {
      showSide(view.get().side === 0 ? 1 : 0);
    },
  },
  {
    code: 'KeyW',
    shows: 'W',
    text: 'Zoom in (Shift: ×4)',
    run: (far) => {
      zoomBy(far ? 0.25 : 0.7);
    },
  },
  {
    code: 'KeyS',
    shows: 'S',
    text: 'Zoom out',
    run: (far) => {
      zoomBy(far ? 4 : 1 / 0.7);
    },
  },
  {
    code: 'KeyA',
    shows: 'A',
    text: 'Earlier',
    run: (far) => {
      pan(far ? -FAR : -1);
    },
  },
  {
    code: 'KeyD',
    shows: 'D',
    text: 'Later',
    run: (far) => {
      pan(far ? FAR : 1);
    },
  },
  { code: 'KeyF', shows: 'F', text: 'Fit to the box; in the timeline, to the span', run: fit },
  {
    code: 'Digit0',
    shows: '0',
    text: 'Whole trace; in the timeline, the whole request',
    run: () => {
      if (view.get().tab === 'timeline') zoomTimeline(scene.get()?.whole ?? null);
      else zoom(null);
    },
  },
  {
    code: 'Period',
    shows: '.',
    text: 'Next of the slowest',
    run: () => {
      stepOutlier(1);
    },
  },
  {
    code: 'Comma',
    shows: ',',
    text: 'The one before',
    run: () => {
      stepOutlier(-1);
    },
  },
  {
    code: 'KeyN',
    shows: 'N',
    text: 'Next difference of the replay (Shift: the one before)',
    run: (before) => {
      const { divergence } = view.get();
      showDivergence(divergence === null ? 0 : divergence + (before ? -1 : 1));
    },
  },
  {
    code: 'Escape',
    shows: 'Esc',
    text: 'Back from the timeline; then clear the box',
    run: () => {
      if (view.get().tab !== 'spans') update({ tab: 'spans' });
      else update({ brush: null });
    },
  },
  {
    code: 'BracketLeft',
    shows: '[',
    text: 'Undo time, box, filter',
    run: () => {
      stepHistory(-1);
    },
  },
  {
    code: 'BracketRight',
    shows: ']',
    text: 'Redo',
    run: () => {
      stepHistory(1);
    },
  },
  { code: 'KeyG', shows: 'G', text: 'Go to a time or a span', run: askTime },
  { code: 'KeyL', shows: 'L', text: 'Limit: a line at a latency, and how many are slower', run: askLimit },
  {
    code: 'KeyK',
    shows: 'K',
    text: 'Heatmap: latency logarithmic or linear',
    run: () => {
      update({ linear: !view.get().linear });
    },
  },
  { code: 'KeyM', shows: 'M', text: 'Pin a note to this time', run: askPin },
  {
    code: 'KeyE',
    shows: 'E',
    text: 'Export',
    run: () => {
      menu.set(true);
    },
  },
  {
    code: 'Slash',
    shows: '/',
    text: 'Search the flame graph',
    run: () => document.getElementById('search')?.focus(),
  },
  {
    code: 'KeyT',
    shows: 'T',
    text: 'Light or dark',
    run: () => {
      const { theme } = view.get();
      update({ theme: theme === 'dark' || (theme === 'auto' && systemDark()) ? 'light' : 'dark' });
    },
  },
  { code: 'KeyY', shows: 'Y', text: 'Copy the link to this view', run: copyLink },
];

function askTime(): void {
  ask.set({
    title: 'Go to',
    hint: 'A time from the start of the trace, or +/- from here: 1.25ms, +200us, 3s; or a span by number: #17',
    value: '',
    done: (text) => {
      const row = NUMBER.exec(text)?.[1];
      const { family } = view.get();
      const now = phase.get();
      if (row !== undefined && now.at === 'ready') {
        const { rows = 0 } = now.loaded.tables[family] ?? {};
        if (Number(row) >= rows) return `There are ${rows}, from #0.`;
        showTimeline(family, Number(row));
        return null;
      }
      const time = parseTime(text);
      if (time === null) return WRONG;
      goTo(time.ns, time.relative);
      return null;
    },
  });
}

function askLimit(): void {
  const { limit } = view.get();
  ask.set({
    title: 'Limit',
    hint: 'A latency: 500us, 2ms. Empty: no limit.',
    value: limit === null ? '' : `${limit / 1e3}us`,
    done: (text) => {
      const time = text.trim() === '' ? null : parseTime(text);
      if (text.trim() !== '' && (time === null || time.relative || time.ns < 1)) return WRONG;
      update({ limit: time?.ns ?? null });
      return null;
    },
  });
}

/** The instant that is looked at: the chosen span's start, or the middle of what is shown. */
function here(): number {
  const { tab, window, span } = view.get();
  const now = phase.get();
  if (tab === 'timeline') return span === null ? (scene.get()?.own.lo ?? 0) : (span.lo + span.hi) / 2;
  const shown = window ?? { lo: 0, hi: now.at === 'ready' ? now.loaded.duration : 0 };
  return (shown.lo + shown.hi) / 2;
}

function askPin(): void {
  const t = Math.round(here());
  ask.set({
    title: `Note at ${instant(t)}`,
    hint: 'A name; it goes into the link',
    value: '',
    done: (text) => {
      if (text.trim() === '') return 'Write a name.';
      update({ pins: [...view.get().pins, { t, name: text.trim().slice(0, 60) }].slice(-20) });
      return null;
    },
  });
}

function copyLink(): void {
  // Pages on disk have no clipboard API in some browsers: then the link is shown to be copied by hand.
  const show = (): void => {
    ask.set({ title: 'Link to this view', hint: 'Copy it', value: location.href, done: () => null });
  };
  // A moment later the hash holds the latest view.
  setTimeout(() => {
    const { clipboard } = navigator as { clipboard?: Clipboard };
    if (clipboard === undefined) show();
    else
      clipboard.writeText(location.href).then(() => {
        say('Link copied');
      }, show);
  }, 200);
}

/** What the view comes to, for those who hear it. */
export function spoken(): string {
  const state = view.get();
  const now = phase.get();
  const latest = answer.get();
  if (now.at !== 'ready' || latest?.family !== state.family) return '';
  const { distribution } = latest.answer.selection;
  const title = tableOf(now.loaded.data, state.family)?.plan.title ?? '';
  return `${FAMILY_TITLE[state.family]}, ${title}: ${Math.round(distribution.count)} spans, median ${duration(distribution.at[0])}, p99 ${duration(distribution.at[2])}, slowest ${duration(distribution.max)}`;
}

export function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target as Element | null;
  if (target?.closest('input, select, textarea, dialog') !== null && target !== null) return;
  if (event.key === '?' || event.code === 'F1') {
    event.preventDefault();
    help.set(true);
    return;
  }
  const key = KEYS.find((k) => k.code === event.code);
  if (key === undefined) return;
  event.preventDefault();
  key.run(event.shiftKey);
}

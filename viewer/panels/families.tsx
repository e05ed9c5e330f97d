import type { JSX } from 'preact';
import { SPAN_FAMILIES } from '../../trace/manifest.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import { familyReport, goTo, sides, tableOf, zoom, type Loaded } from '../data.ts';
import { count, deviceName, duration, FAMILY_TITLE, groupName, instant, safeText } from '../format.ts';
import { showFamily, update, useAtom, useView } from '../state.ts';

export function Families({ loaded }: { loaded: Loaded }): JSX.Element {
  const state = useView('tab', 'family');
  const both = useAtom(sides)[1] !== null;
  return (
    <nav class="families" aria-label="Kind of span">
      {SPAN_FAMILIES.map((family) => {
        const total = familyReport(loaded.data, family).total;
        const n = total?.count ?? tableOf(loaded.data, family)?.spans ?? 0;
        return (
          <button
            type="button"
            key={family}
            aria-pressed={state.tab === 'spans' && state.family === family}
            class={n === 0 ? 'none' : ''}
            onClick={() => {
              showFamily(family);
            }}
          >
            <span class="name">{FAMILY_TITLE[family]}</span>
            <span class="small">
              {n === 0
                ? 'none in this trace'
                : `n ${count(n)} · p50 ${duration(total?.p50_ns)} · p99 ${duration(total?.p99_ns)}`}
            </span>
          </button>
        );
      })}
      <button
        type="button"
        class="slim"
        aria-pressed={state.tab === 'timeline'}
        onClick={() => {
          update({ tab: 'timeline' });
        }}
      >
        <span class="name">Timeline</span>
        <span class="small">one request</span>
      </button>
      <button
        type="button"
        class="slim"
        aria-pressed={state.tab === 'compare'}
        onClick={() => {
          update({ tab: 'compare' });
        }}
      >
        <span class="name">Compare</span>
        <span class="small">{both ? 'A to B' : 'two traces'}</span>
      </button>
      <Chips loaded={loaded} />
    </nav>
  );
}

/** What the figures below are limited to; each chip takes its limit away. */
function Chips({ loaded }: { loaded: Loaded }): JSX.Element {
  const { window, brush, groups, family, pins, limit } = useView(
    'window',
    'brush',
    'groups',
    'family',
    'pins',
    'limit',
  );
  const chips: { text: string; clear: () => void }[] = [];
  if (window !== null) {
    chips.push({
      text: `from ${instant(window.lo)} for ${duration(window.hi - window.lo)}`,
      clear: () => {
        zoom(null);
      },
    });
  }
  if (brush !== null) {
    const { time, latency } = brush;
    chips.push({
      text: `box ${duration(time.hi - time.lo)} × ${latency.lo <= 1 ? 'up' : duration(latency.lo)} to ${duration(latency.hi)}`,
      clear: () => {
        update({ brush: null });
      },
    });
  }
  for (const id of groups) {
    chips.push({
      text: chipName(loaded, family, id),
      clear: () => {
        update({ groups: groups.filter((g) => g !== id) });
      },
    });
  }
  if (limit !== null) {
    chips.push({
      text: `limit ${duration(limit)}`,
      clear: () => {
        update({ limit: null });
      },
    });
  }
  return (
    <div class="chips">
      <span class="small">{chips.length === 0 ? 'Showing everything' : 'Showing only'}</span>
      {chips.map(({ text, clear }) => (
        <button type="button" class="chip" key={text} onClick={clear} aria-label={`Remove: ${text}`}>
          {safeText(text)} <span aria-hidden="true">×</span>
        </button>
      ))}
      {pins.map((pin) => (
        <span class="chip" key={`${pin.t} ${pin.name}`}>
          <button
            type="button"
            class="link"
            onClick={() => {
              goTo(pin.t, false);
            }}
          >
            ⚑ {safeText(pin.name)}, {instant(pin.t)}
          </button>
          <button
            type="button"
            class="link"
            aria-label={`Remove the note ${safeText(pin.name)}`}
            onClick={() => {
              update({ pins: pins.filter((p) => p !== pin) });
            }}
          >
            ×
          </button>
        </span>
      ))}
      {brush !== null && (
        <button
          type="button"
          class="link"
          onClick={() => {
            zoom(brush.time);
          }}
        >
          Zoom to box
        </button>
      )}
      {chips.length > 1 && (
        <button
          type="button"
          class="link"
          onClick={() => {
            update({ window: null, brush: null, groups: [] });
          }}
        >
          Show all
        </button>
      )}
    </div>
  );
}

function chipName(loaded: Loaded, family: SpanFamily, id: string): string {
  const [device, key, dir] = id.split(':').map(Number);
  if (key === undefined) return deviceName(loaded.data, device!);
  return groupName(loaded.data, family, { device: device!, key, dir: dir ?? 255 });
}

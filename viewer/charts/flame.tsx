import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { tableOf, type Loaded } from '../data.ts';
import { textOn } from '../colours.ts';
import type { Frame } from '../engine/query.ts';
import { count, duration, FAMILY_UNIT, percent } from '../format.ts';
import { update, useAtom, view } from '../state.ts';
import { ink, useTheme } from '../theme.ts';
import { fitText, prepare, useWidth } from './canvas.ts';
import { findNode, flameTree, folded, type FlameNode } from './flame-tree.ts';

const ROW = 24;
const LEAST = 0.6;

interface Placed {
  node: FlameNode;
  x: number;
  y: number;
  width: number;
}

export function Flame({ loaded, frames }: { loaded: Loaded; frames: readonly Frame[] }): JSX.Element {
  const { family, flameWeight } = useAtom(view);
  const theme = useTheme();
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(box);
  const [zoomed, setZoomed] = useState('');
  const [over, setOver] = useState<FlameNode | null>(null);
  const root = useMemo(() => {
    const stages = tableOf(loaded.data, family)?.plan.stages ?? [];
    return flameTree(loaded.data, family, stages, loaded.tables[family]?.groups ?? [], frames, flameWeight);
  }, [loaded, family, frames, flameWeight]);
  const trail = findNode(root, zoomed) ?? [root];
  const placed = useMemo(() => place(trail, width), [root, zoomed, width]);
  const height = (Math.max(1, ...placed.map((p) => p.y)) + 1) * ROW;
  const value = (n: number): string => (flameWeight === 'time' ? duration(n) : count(n));

  useEffect(() => {
    if (canvas.current === null || width === 0) return;
    const context = prepare(canvas.current, width, height);
    if (context !== null) paint(context, placed, over);
  }, [placed, width, height, theme, over]);

  const hit = (event: MouseEvent): FlameNode | null => {
    const rect = canvas.current!.getBoundingClientRect();
    const x = event.clientX - rect.left;
    const y = Math.floor((event.clientY - rect.top) / ROW);
    return placed.find((p) => p.y === y && x >= p.x && x < p.x + p.width)?.node ?? null;
  };

  const shown = over ?? trail.at(-1)!;
  return (
    <div>
      <div class="tools">
        <span class="segments" role="group" aria-label="Width of a frame">
          {(['time', 'count'] as const).map((w) => (
            <button
              type="button"
              key={w}
              aria-pressed={flameWeight === w}
              onClick={() => {
                update({ flameWeight: w });
              }}
            >
              {w === 'time' ? 'time' : 'number'}
            </button>
          ))}
        </span>
        <span class="readout" aria-live="polite">
          {(shown.path === '' ? 'all' : shown.path.slice(1).split(';').join(' › ')) +
            ` · ${value(shown.value)} · ${percent(root.value === 0 ? NaN : shown.value / root.value)} · ${count(shown.count)} ${FAMILY_UNIT[family]}`}
        </span>
        {zoomed !== '' && (
          <button
            type="button"
            class="link"
            onClick={() => {
              setZoomed('');
            }}
          >
            Reset zoom
          </button>
        )}
      </div>
      <div class="canvas-box" ref={box} style={{ height: `${height}px` }}>
        <canvas
          ref={canvas}
          class="layer pointer"
          role="img"
          aria-label="Flame graph; the table below it has the same figures"
          onMouseMove={(event) => {
            setOver(hit(event));
          }}
          onMouseLeave={() => {
            setOver(null);
          }}
          onClick={(event) => {
            const node = hit(event);
            if (node !== null) setZoomed(node.path === zoomed ? '' : node.path);
          }}
        />
      </div>
      <details class="twin">
        <summary>As a table</summary>
        <table class="figures">
          <thead>
            <tr>
              <th scope="col">Path</th>
              <th scope="col" class="n">
                {flameWeight === 'time' ? 'Time' : 'Number'}
              </th>
              <th scope="col" class="n">
                Share
              </th>
            </tr>
          </thead>
          <tbody>
            {folded(root).map(({ path, node }) => (
              <tr key={path}>
                <td>{path.split(';').join(' › ')}</td>
                <td class="n">{value(node.value)}</td>
                <td class="n">{percent(node.value / root.value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </div>
  );
}

/** The chosen frame and those above it over the whole width, its children by size below. */
function place(trail: readonly FlameNode[], width: number): Placed[] {
  const placed: Placed[] = [];
  const top = trail.length - 1;
  trail.slice(0, -1).forEach((node, y) => placed.push({ node, x: 0, y, width }));
  const visit = (node: FlameNode, x: number, y: number, w: number): void => {
    placed.push({ node, x, y, width: w });
    let at = x;
    for (const next of node.children) {
      const part = node.value === 0 ? 0 : (next.value / node.value) * w;
      if (part >= LEAST) visit(next, at, y + 1, part);
      at += part;
    }
  };
  visit(trail[top]!, 0, top, width);
  return placed;
}

function paint(context: CanvasRenderingContext2D, placed: readonly Placed[], over: FlameNode | null): void {
  const tints = [ink('flame-0'), ink('flame-1'), ink('flame-2'), ink('flame-3')];
  const text = ink('text');
  context.textBaseline = 'middle';
  for (const { node, x, y, width } of placed) {
    context.fillStyle = node.colour ?? tints[Math.min(y, 3)]!;
    context.fillRect(x, y * ROW, Math.max(0.5, width - 1), ROW - 1);
    if (node === over) {
      context.strokeStyle = text;
      context.lineWidth = 2;
      context.strokeRect(x + 1, y * ROW + 1, Math.max(1, width - 3), ROW - 3);
    }
    if (width < 24) continue;
    context.fillStyle = node.colour === null ? text : textOn(node.colour);
    context.fillText(fitText(context, node.name, width - 10), x + 5, y * ROW + ROW / 2);
  }
}

import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { tableOf, type Loaded } from '../data.ts';
import { textOn } from '../colours.ts';
import type { Frame } from '../engine/query.ts';
import { count, duration, FAMILY_UNIT, percent } from '../format.ts';
import { type FlameWeight, update, useView } from '../state.ts';
import { ink, useTheme } from '../theme.ts';
import { draw, fitText, useWidth } from './canvas.ts';
import { findNode, flameTree, folded, searchTree, widthOf, type FlameNode } from './flame-tree.ts';

const ROW = 24;
const LEAST = 0.6;
const WEIGHTS: readonly [FlameWeight, string][] = [
  ['time', 'time'],
  ['count', 'number'],
  ['stalled', 'vCPU stalled'],
];

interface Placed {
  node: FlameNode;
  x: number;
  y: number;
  width: number;
}

export function Flame({ loaded, frames }: { loaded: Loaded; frames: readonly Frame[] }): JSX.Element {
  const { family, flameWeight, flameInverted } = useView('family', 'flameWeight', 'flameInverted');
  const root = useMemo(() => {
    const stages = tableOf(loaded.data, family)?.plan.stages ?? [];
    const groups = loaded.tables[family]?.groups ?? [];
    return flameTree(loaded.data, family, stages, groups, frames, flameWeight, flameInverted);
  }, [loaded, family, frames, flameWeight, flameInverted]);
  const value = (n: number): string => (flameWeight === 'count' ? count(n) : duration(n));
  return (
    <FlameChart root={root} value={value} title={flameWeight === 'count' ? 'Number' : 'Time'}>
      <span class="segments" role="group" aria-label="Width of a frame">
        {WEIGHTS.filter(([w]) => w !== 'stalled' || family === 'mmio').map(([w, name]) => (
          <button
            type="button"
            key={w}
            aria-pressed={flameWeight === w}
            onClick={() => {
              update({ flameWeight: w });
            }}
          >
            {name}
          </button>
        ))}
      </span>
    </FlameChart>
  );
}

export function FlameChart({
  root,
  value,
  title,
  children,
}: {
  root: FlameNode;
  value: (n: number) => string;
  title: string;
  children?: JSX.Element;
}): JSX.Element {
  const { family, flameUp, flameInverted } = useView('family', 'flameUp', 'flameInverted');
  const theme = useTheme();
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(box);
  const [zoomed, setZoomed] = useState('');
  const [over, setOver] = useState<FlameNode | null>(null);
  const [wanted, setWanted] = useState('');
  const search = useMemo(() => searchTree(root, wanted), [root, wanted]);
  const trail = findNode(root, zoomed) ?? [root];
  const placed = useMemo(() => place(trail, width), [root, zoomed, width]);
  const rows = Math.max(1, ...placed.map((p) => p.y)) + 1;
  const height = rows * ROW;
  const top = (y: number): number => (flameUp ? rows - 1 - y : y) * ROW;
  const told = (n: FlameNode): string =>
    n.other === undefined
      ? `${value(n.value)} · ${percent(root.value === 0 ? NaN : n.value / root.value)} · ${count(n.count)} ${FAMILY_UNIT[family]}`
      : `A ${value(n.value)} · B ${value(n.other)} · ${change(n.value, n.other)}`;

  useEffect(() => {
    if (canvas.current === null || width === 0) return;
    draw(canvas.current, width, height, (context) => {
      paint(context, placed, top, over, wanted === '' ? null : search.found);
    });
  }, [placed, width, height, theme, over, search, flameUp]);

  const hit = (event: MouseEvent): FlameNode | null => {
    const rect = canvas.current!.getBoundingClientRect();
    const x = event.clientX - rect.left;
    const row = Math.floor((event.clientY - rect.top) / ROW) * ROW;
    return placed.find((p) => top(p.y) === row && x >= p.x && x < p.x + p.width)?.node ?? null;
  };

  const shown = over ?? trail.at(-1)!;
  return (
    <div>
      <div class="tools">
        {children}
        <label class="small">
          <input
            type="checkbox"
            checked={flameUp}
            onChange={() => {
              update({ flameUp: !flameUp });
            }}
          />{' '}
          root below
        </label>
        {children !== undefined && (
          <label class="small">
            <input
              type="checkbox"
              checked={flameInverted}
              onChange={() => {
                update({ flameInverted: !flameInverted });
              }}
            />{' '}
            stages first
          </label>
        )}
        <input
          id="search"
          type="search"
          placeholder="Search (/)"
          aria-label="Search the flame graph"
          value={wanted}
          onInput={(event) => {
            setWanted(event.currentTarget.value);
          }}
        />
        {wanted !== '' && (
          <span class="small" role="status">
            {search.found.size === 0 ? 'nothing found' : `found: ${percent(search.share)}`}
          </span>
        )}
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
      <p class="readout">
        {(shown.path === '' ? 'all' : shown.path.slice(1).split(';').join(' › ')) + ` · ${told(shown)}`}
      </p>
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
                {title}
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
                <td class="n">
                  {node.other === undefined
                    ? value(node.value)
                    : `${value(node.value)} → ${value(node.other)}`}
                </td>
                <td class="n">
                  {node.other === undefined
                    ? percent(node.value / root.value)
                    : change(node.value, node.other)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </div>
  );
}

/** From the first trace to the second: +12.5 %. */
export function change(a: number, b: number): string {
  if (!(a > 0)) return b > 0 ? 'new' : '–';
  if (!(b > 0)) return 'gone';
  return b > 2 * a ? `×${(b / a).toFixed(1)}` : `${b >= a ? '+' : '−'}${percent(Math.abs(b / a - 1))}`;
}

/** The chosen frame and those above it over the whole width, its children by size below. */
function place(trail: readonly FlameNode[], width: number): Placed[] {
  const placed: Placed[] = [];
  const top = trail.length - 1;
  trail.slice(0, -1).forEach((node, y) => placed.push({ node, x: 0, y, width }));
  const visit = (node: FlameNode, x: number, y: number, w: number): void => {
    placed.push({ node, x, y, width: w });
    let at = x;
    const whole = widthOf(node);
    for (const next of node.children) {
      const part = whole === 0 ? 0 : (widthOf(next) / whole) * w;
      if (part >= LEAST) visit(next, at, y + 1, part);
      at += part;
    }
  };
  visit(trail[top]!, 0, top, width);
  return placed;
}

/** Slower is red with a plus, faster is blue with a minus: never by colour alone. */
const SLOWER = '#d55e00';
const FASTER = '#56b4e9';

function paint(
  context: CanvasRenderingContext2D,
  placed: readonly Placed[],
  top: (y: number) => number,
  over: FlameNode | null,
  found: ReadonlySet<FlameNode> | null,
): void {
  const tints = [ink('flame-0'), ink('flame-1'), ink('flame-2'), ink('flame-3')];
  const text = ink('text');
  context.textBaseline = 'middle';
  for (const { node, x, y, width } of placed) {
    const { value, other } = node;
    const ratio =
      other === undefined || (value === 0 && other === 0) ? 0 : (other - value) / Math.max(value, other);
    const colour = Math.abs(ratio) > 0.02 ? (ratio > 0 ? SLOWER : FASTER) : node.colour;
    const at = top(y);
    context.globalAlpha = found !== null && !found.has(node) ? 0.3 : 1;
    context.fillStyle = colour ?? tints[Math.min(y, 3)]!;
    context.fillRect(x, at, Math.max(0.5, width - 1), ROW - 1);
    if (node === over) {
      context.strokeStyle = text;
      context.lineWidth = 2;
      context.strokeRect(x + 1, at + 1, Math.max(1, width - 3), ROW - 3);
    }
    if (width < 24) continue;
    const label = other === undefined ? node.name : `${change(value, other)} ${node.name}`;
    context.globalAlpha = 1;
    context.fillStyle = colour === null || found !== null ? text : textOn(colour);
    context.fillText(fitText(context, label, width - 10), x + 5, at + ROW / 2);
  }
  context.globalAlpha = 1;
}

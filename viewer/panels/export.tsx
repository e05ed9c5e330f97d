import type { JSX } from 'preact';
import { paintScaled, pictures, type Picture } from '../charts/canvas.ts';
import { SvgContext } from '../charts/svg.ts';
import { askExport, type Loaded } from '../data.ts';
import { menu, say } from '../dialogs.ts';
import { FAMILY_TITLE, safeText } from '../format.ts';
import type { ExportKind } from '../protocol.ts';
import { useAtom, useView } from '../state.ts';
import { ink } from '../theme.ts';
import { Modal } from './dialogs.tsx';

const KINDS: readonly [ExportKind, string][] = [
  ['csv', 'CSV: a line a span'],
  ['folded', 'Folded stacks'],
  ['speedscope', 'speedscope profile'],
  ['perfetto', 'Perfetto trace: every family, the time shown'],
];
const ENDINGS: Record<ExportKind, string> = {
  csv: 'csv',
  folded: 'folded',
  speedscope: 'speedscope.json',
  perfetto: 'perfetto-trace',
};
const PIXELS = 2;

/** Hands a file to the browser; nothing leaves the machine. */
function save(name: string, parts: BlobPart, type: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([parts], { type }));
  link.download = name;
  link.click();
  setTimeout(() => {
    URL.revokeObjectURL(link.href);
  }, 10_000);
  say(`Saved ${name}`);
}

interface Chart {
  name: string;
  pictures: Picture[];
}

/** The charts on the page, each of one or more layers. */
function charts(): Chart[] {
  return [...document.querySelectorAll('.canvas-box')].flatMap((box) => {
    const layers = [...box.querySelectorAll('canvas')].flatMap((c) => pictures.get(c) ?? []);
    const title = box.closest('section')?.getAttribute('aria-label') ?? 'chart';
    const name = box.classList.contains('overview') ? 'Overview' : title;
    return layers.length === 0 ? [] : [{ name, pictures: layers }];
  });
}

function png({ pictures: layers }: Chart, name: string): void {
  const [first] = layers;
  if (first === undefined) return;
  const canvas = document.createElement('canvas');
  const paint = (c: CanvasRenderingContext2D): void => {
    c.fillStyle = ink('surface');
    c.fillRect(0, 0, first.width, first.height);
    for (const layer of layers) layer.paint(c);
  };
  paintScaled(canvas, { width: first.width, height: first.height, paint }, PIXELS);
  canvas.toBlob((blob) => {
    if (blob !== null) save(`${name}.png`, blob, 'image/png');
  });
}

function svg({ pictures: layers }: Chart, name: string): void {
  const context = new SvgContext();
  // The charts paint with the part of a context that SvgContext has.
  for (const layer of layers) layer.paint(context as unknown as CanvasRenderingContext2D);
  const [first] = layers;
  if (first !== undefined) {
    save(`${name}.svg`, context.svg(first.width, first.height, ink('surface')), 'image/svg+xml');
  }
}

export function Exports({ loaded }: { loaded: Loaded }): JSX.Element | null {
  const { family } = useView('family');
  if (!useAtom(menu)) return null;
  const trace = safeText(loaded.data.report.trace?.path).replace(/[^\w.-]+/g, '_') || 'trace';
  const close = (): void => {
    menu.set(false);
  };
  return (
    <Modal title="Export" onClose={close}>
      <h3>{FAMILY_TITLE[family]} that are chosen</h3>
      <p class="exports">
        {KINDS.map(([kind, text]) => (
          <button
            type="button"
            class="plain"
            key={kind}
            onClick={() => {
              void askExport(kind).then((bytes) => {
                const name = kind === 'perfetto' ? trace : `${trace}-${family}`;
                save(`${name}.${ENDINGS[kind]}`, bytes, 'application/octet-stream');
              });
              close();
            }}
          >
            {text}
          </button>
        ))}
      </p>
      <h3>Charts</h3>
      {charts().map((chart) => {
        const name = `${trace}-${family}-${chart.name.toLowerCase().replace(/\W+/g, '-')}`;
        return (
          <p class="exports" key={chart.name}>
            <span>{chart.name}</span>
            <button
              type="button"
              class="plain"
              onClick={() => {
                png(chart, name);
              }}
            >
              PNG
            </button>
            <button
              type="button"
              class="plain"
              onClick={() => {
                svg(chart, name);
              }}
            >
              SVG
            </button>
          </p>
        );
      })}
    </Modal>
  );
}

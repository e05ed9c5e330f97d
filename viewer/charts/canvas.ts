import type { RefObject } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { FONT } from '../theme.ts';

/** Width of an element in CSS px, kept up to date; 0 until it is laid out. */
export function useWidth(ref: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = ref.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => {
      setWidth(Math.floor(element.clientWidth));
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
    };
  }, [ref]);
  return width;
}

type Paint = (context: CanvasRenderingContext2D) => void;

export interface Picture {
  width: number;
  height: number;
  paint: Paint;
}

/** What each canvas shows, so that it can be painted once more into a file. */
export const pictures = new WeakMap<HTMLCanvasElement, Picture>();

/** Sizes a canvas for the screen's pixels and paints it; the painter works in CSS px. */
export function draw(canvas: HTMLCanvasElement, width: number, height: number, paint: Paint): void {
  pictures.set(canvas, { width, height, paint });
  paintScaled(canvas, { width, height, paint }, window.devicePixelRatio || 1);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
}

export function paintScaled(canvas: HTMLCanvasElement, picture: Picture, scale: number): void {
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  const context = canvas.getContext('2d');
  if (context === null) return;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.font = FONT;
  picture.paint(context);
}

/** Text cut to a width, with an ellipsis; empty if not even that fits. */
export function fitText(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text;
  let lo = 0;
  let hi = text.length;
  while (lo < hi) {
    const mid = (lo + hi + 1) >> 1;
    if (context.measureText(`${text.slice(0, mid)}…`).width <= width) lo = mid;
    else hi = mid - 1;
  }
  return lo < 2 ? '' : `${text.slice(0, lo)}…`;
}

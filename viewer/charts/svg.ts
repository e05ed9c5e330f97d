import { FONT } from '../theme.ts';

/** Text as SVG attributes and content need it: everything that comes from a trace goes through here. */
const escape = (text: string): string =>
  text.replace(/[&<>"\u0000-\u001f]/g, (c) => (c < ' ' ? ' ' : `&#${c.charCodeAt(0)};`));

const round = (n: number): string => String(Math.round(n * 100) / 100);

/**
 * The part of a canvas context that the charts paint with, written down as SVG elements. Pass it to a painter as its
 * context; `svg` gives the picture.
 */
export class SvgContext {
  fillStyle: string | { id: string } = '#000';
  strokeStyle: string | { id: string } = '#000';
  lineWidth = 1;
  globalAlpha = 1;
  font = FONT;
  textAlign = 'start';
  textBaseline = 'alphabetic';
  imageSmoothingEnabled = true;
  private readonly parts: string[] = [];
  private readonly defs: string[] = [];
  private path = '';
  private dash = '';
  private readonly measure = document.createElement('canvas').getContext('2d')!;

  svg(width: number, height: number, background: string): string {
    return (
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
      `font-family="system-ui, Segoe UI, Roboto, sans-serif" font-size="11"><defs>${this.defs.join('')}</defs>` +
      `<rect width="100%" height="100%" fill="${escape(background)}"/>${this.parts.join('')}</svg>`
    );
  }

  fillRect(x: number, y: number, w: number, h: number): void {
    if (w > 0 && h > 0) this.add(`rect ${box(x, y, w, h)}`, this.filled());
  }

  strokeRect(x: number, y: number, w: number, h: number): void {
    this.add(`rect ${box(x, y, w, h)} fill="none"`, this.stroked());
  }

  beginPath(): void {
    this.path = '';
  }

  moveTo(x: number, y: number): void {
    this.path += `M${round(x)} ${round(y)}`;
  }

  lineTo(x: number, y: number): void {
    this.path += `${this.path === '' ? 'M' : 'L'}${round(x)} ${round(y)}`;
  }

  /** Whole circles only. */
  arc(x: number, y: number, r: number): void {
    this.path += `M${round(x - r)} ${round(y)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
  }

  stroke(): void {
    if (this.path !== '') this.add(`path d="${this.path}" fill="none"`, this.stroked());
  }

  fill(): void {
    if (this.path !== '') this.add(`path d="${this.path}z"`, this.filled());
  }

  fillText(text: string, x: number, y: number): void {
    const anchor = { center: 'middle', right: 'end' }[this.textAlign] ?? 'start';
    const base =
      { top: 'hanging', middle: 'central', bottom: 'text-after-edge' }[this.textBaseline] ?? 'auto';
    const alpha = this.globalAlpha === 1 ? '' : ` opacity="${this.globalAlpha}"`;
    this.parts.push(
      `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" dominant-baseline="${base}"${this.filled()}${alpha}>${escape(text)}</text>`,
    );
  }

  measureText(text: string): TextMetrics {
    this.measure.font = this.font;
    return this.measure.measureText(text);
  }

  setLineDash(dash: readonly number[]): void {
    this.dash = dash.join(' ');
  }

  createLinearGradient(
    x0: number,
    _y0: number,
    x1: number,
  ): { id: string; addColorStop: (at: number, colour: string) => void } {
    const id = `g${this.defs.length}`;
    const at = this.defs.length;
    const stops: string[] = [];
    this.defs.push('');
    return {
      id,
      addColorStop: (offset, colour) => {
        const seen =
          colour === 'transparent' ? 'stop-color="#888" stop-opacity="0"' : `stop-color="${escape(colour)}"`;
        stops.push(`<stop offset="${offset}" ${seen}/>`);
        this.defs[at] =
          `<linearGradient id="${id}" gradientUnits="userSpaceOnUse" x1="${round(x0)}" x2="${round(x1)}">${stops.join('')}</linearGradient>`;
      },
    };
  }

  drawImage(image: HTMLCanvasElement, x: number, y: number, w: number, h: number): void {
    this.parts.push(
      `<image ${box(x, y, w, h)} preserveAspectRatio="none" style="image-rendering:pixelated" href="${image.toDataURL()}"/>`,
    );
  }

  private add(element: string, paint: string): void {
    const alpha = this.globalAlpha === 1 ? '' : ` opacity="${this.globalAlpha}"`;
    this.parts.push(`<${element}${paint}${alpha}/>`);
  }

  private filled(): string {
    return ` fill="${colourOf(this.fillStyle)}"`;
  }

  private stroked(): string {
    const dash = this.dash === '' ? '' : ` stroke-dasharray="${this.dash}"`;
    return ` stroke="${colourOf(this.strokeStyle)}" stroke-width="${this.lineWidth}"${dash}`;
  }
}

const colourOf = (style: string | { id: string }): string =>
  typeof style === 'string' ? escape(style) : `url(#${style.id})`;
const box = (x: number, y: number, w: number, h: number): string =>
  `x="${round(x)}" y="${round(y)}" width="${round(w)}" height="${round(h)}"`;

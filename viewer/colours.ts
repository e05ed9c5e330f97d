/** Okabe-Ito, then violet, brown and grey: told apart with any colour vision. Stage n has colour n everywhere; what no stage explains is hatched. */
export const STAGE_COLOURS = [
  '#0072b2',
  '#e69f00',
  '#009e73',
  '#cc79a7',
  '#56b4e9',
  '#d55e00',
  '#f0e442',
  '#9467bd',
  '#8c564b',
  '#7f8a96',
];
export const stageColour = (stage: number): string => STAGE_COLOURS[stage % STAGE_COLOURS.length]!;

/** Text on a coloured field: black or white, whichever is the stronger contrast (WCAG luminance). */
export function textOn(colour: string): string {
  const channel = (at: number): number => {
    const c = parseInt(colour.slice(at, at + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  const luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
  return luminance > 0.179 ? '#000000' : '#ffffff';
}

/** Few to many: monotonous in lightness, away from the background in both themes. */
const RAMP = {
  light: ['#d9e8f5', '#a6cbe3', '#6aaed6', '#3787c0', '#1b61a5', '#0b3c7d', '#071d49'],
  dark: ['#1d3557', '#26547c', '#2f7f9d', '#3fae97', '#87cf6b', '#d9e35a', '#fff7b8'],
};

/** 256 colours as little-endian RGBA words for ImageData. */
export function ramp(theme: 'light' | 'dark'): Uint32Array {
  const stops = RAMP[theme].map((c) => [1, 3, 5].map((at) => parseInt(c.slice(at, at + 2), 16)));
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const x = (i / 255) * (stops.length - 1);
    const k = Math.min(stops.length - 2, Math.floor(x));
    const mix = (c: number): number =>
      Math.round(stops[k]![c]! + (x - k) * (stops[k + 1]![c]! - stops[k]![c]!));
    return ((255 << 24) | (mix(2) << 16) | (mix(1) << 8) | mix(0)) >>> 0;
  });
}

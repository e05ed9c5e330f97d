import { useEffect, useState } from 'preact/hooks';
import { useAtom, view } from './state.ts';

let media: MediaQueryList | undefined;
/** Asked for when it is needed: the worker runs this file, too, and has no screen. */
const dark = (): MediaQueryList => (media ??= matchMedia('(prefers-color-scheme: dark)'));
export const systemDark = (): boolean => dark().matches;

/** The theme that is in force: the chosen one, or the system's. */
export function useTheme(): 'light' | 'dark' {
  const { theme } = useAtom(view);
  const [system, setSystem] = useState(dark().matches);
  useEffect(() => {
    const change = (): void => {
      setSystem(dark().matches);
    };
    dark().addEventListener('change', change);
    return () => {
      dark().removeEventListener('change', change);
    };
  }, []);
  return theme === 'auto' ? (system ? 'dark' : 'light') : theme;
}

/** A colour of the style sheet, for canvases. */
export function ink(name: string): string {
  const theme = document.documentElement.dataset['theme'] ?? (dark().matches ? 'dark' : 'light');
  const key = `${theme} ${name}`;
  let colour = inks.get(key);
  if (colour === undefined) {
    const both = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
    colour = /\((.*),(.*)\)$/.exec(both)?.[theme === 'dark' ? 2 : 1]?.trim() ?? both;
    inks.set(key, colour);
  }
  return colour;
}

/** Asking the style sheet takes a tenth of a frame; a theme's colours stay what they are. */
const inks = new Map<string, string>();

/** Canvas text in the page's own font. */
export const FONT = '11px system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

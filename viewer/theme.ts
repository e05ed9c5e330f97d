import { useEffect, useState } from 'preact/hooks';
import { useAtom, view } from './state.ts';

const dark = matchMedia('(prefers-color-scheme: dark)');

/** The theme that is in force: the chosen one, or the system's. */
export function useTheme(): 'light' | 'dark' {
  const { theme } = useAtom(view);
  const [system, setSystem] = useState(dark.matches);
  useEffect(() => {
    const change = (): void => {
      setSystem(dark.matches);
    };
    dark.addEventListener('change', change);
    return () => {
      dark.removeEventListener('change', change);
    };
  }, []);
  return theme === 'auto' ? (system ? 'dark' : 'light') : theme;
}

/** A colour of the style sheet, for canvases. */
export const ink = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Canvas text in the page's own font. */
export const FONT = '11px system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

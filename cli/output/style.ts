/** Colours, or none: only a terminal gets them, and none if NO_COLOR is set (no-color.org). */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  yellow(text: string): string;
}

export function styleFor(isTerminal: boolean, env: Readonly<Record<string, string | undefined>>): Style {
  const noColor = env['NO_COLOR'];
  const on = isTerminal && (noColor === undefined || noColor === '') && env['TERM'] !== 'dumb';
  const paint = (open: number, close: number) => (text: string) =>
    on ? `\u001b[${open}m${text}\u001b[${close}m` : text;
  return { bold: paint(1, 22), dim: paint(2, 22), red: paint(31, 39), yellow: paint(33, 39) };
}

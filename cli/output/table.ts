export interface Column {
  title: string;
  /** Numbers stand to the right. */
  right?: boolean;
}

/** Rows under titles, columns aligned, two blanks between; no blanks at line ends. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const lines = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => width(line[i] ?? ''))));
  return lines
    .map((line) =>
      columns
        .map(({ right }, i) => pad(line[i] ?? '', widths[i]!, right === true))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function pad(text: string, to: number, right: boolean): string {
  const blanks = ' '.repeat(Math.max(0, to - width(text)));
  return right ? blanks + text : text + blanks;
}

/** Code points, which is what a terminal gives a cell to for nearly everything that names contain. */
function width(text: string): number {
  return Array.from(text).length;
}

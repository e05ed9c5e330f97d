import type { SqlFormat } from '../../analyzer/embedded/formats.ts';
import type { Cli } from '../cli.ts';
import { escapeText } from './escape.ts';

/** An answer as text on stdout: nothing in it may move a terminal's cursor. */
export function printAnswer(cli: Cli, format: SqlFormat, bytes: Uint8Array): void {
  const text = new TextDecoder().decode(bytes);
  const shown = format === 'table' || cli.streams.stdoutIsTerminal;
  cli.streams.stdout(
    shown
      ? text
          .split('\n')
          .map(format === 'json' ? indented : escapeText)
          .join('\n')
      : text,
  );
}

/** JSON is indented with tabs. */
const indented = (line: string): string => line.split('\t').map(escapeText).join('\t');

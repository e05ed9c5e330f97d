import type { HostFindings } from './findings.ts';

/** How one auxiliary file of a capture is recognised (by its text alone) and what it gives. */
export interface AuxFormat {
  /** Short stable name: 'xl-info', 'event-format'. */
  readonly name: string;
  /** Whether `head` (up to 64 KiB, whole lines) is of this format. Must not throw. */
  sniff(head: string): boolean;
  /** Takes what the file says. Absent: the file is known and holds nothing that is used. */
  read?(text: string, into: HostFindings, file: string): void;
}

/** Non-empty lines of the head, at most `most`. */
export function linesOf(head: string, most = 200): string[] {
  return head.split('\n', most).filter((line) => line.trim() !== '');
}

/** Whether there is a line, and every one matches. */
export function everyLine(head: string, pattern: RegExp, most = 200): boolean {
  const lines = linesOf(head, most);
  return lines.length > 0 && lines.every((line) => pattern.test(line));
}

/** Number in the text, decimal or 0x; undefined unless it is a safe integer. */
export function parseNumber(text: string | undefined): number | undefined {
  if (text === undefined || !/^(0x[0-9a-f]+|[0-9]+)$/i.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

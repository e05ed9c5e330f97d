/**
 * A line of tracefs `trace` or `trace_pipe`, or of `trace-cmd report`:
 * COMM-PID (TGID) [CPU] FLAGS SECONDS.FRACTION: EVENT: TEXT, where TGID and FLAGS may be missing.
 * Format: Linux kernel/trace/trace_output.c, trace_print_context.
 */
const LINE =
  /^\s*.*?-(\d{1,10})\s+(?:\(\s*(?:-+|\d+)\)\s+)?\[(\d{1,5})\]\s+(?:[^\s:]{4,8}\s+)?(\d{1,15})(?:\.(\d{6}|\d{9}))?:\s+([^\s:]+):\s?(.*)$/;

/** One parsed line; an object that is used again and again. */
export class TextLine {
  pid = 0;
  cpu = 0;
  seconds = 0;
  /** Fraction of the second in units of `digits` decimal places; 0 if there is none. */
  fraction = 0;
  /** 6, 9, or 0 for a clock that counts something else (the number is then in `seconds`). */
  digits = 0;
  event = '';
  body = '';

  parse(line: string): boolean {
    const match = LINE.exec(line);
    if (match === null) return false;
    this.pid = Number(match[1]);
    this.cpu = Number(match[2]);
    this.seconds = Number(match[3]);
    this.fraction = Number(match[4] ?? 0);
    this.digits = match[4]?.length ?? 0;
    this.event = match[5] ?? '';
    this.body = match[6] ?? '';
    return true;
  }
}

/** Lines that carry no event: blank, comments, what trace-cmd report writes first, stacks. */
export function isNoEvent(line: string): boolean {
  return /^\s*(?:#.*|cpus=\d+|version = \d+|=> .*|<stack trace>.*)?$/.test(line);
}

const LOST = /^CPU:(\d{1,5}) \[(?:LOST (\d{1,15}) EVENTS|LOST EVENTS)\]$/;
/** trace-cmd report's form. */
const DROPPED = /^CPU:(\d{1,5}) \[(\d{1,15}) EVENTS DROPPED\]$/;

/** "CPU:1 [LOST 12 EVENTS]"; count 0 = the line does not say. */
export function parseLost(line: string): { cpu: number; count: number } | undefined {
  const text = line.trim();
  if (!text.startsWith('CPU:')) return undefined;
  const match = LOST.exec(text) ?? DROPPED.exec(text);
  return match === null ? undefined : { cpu: Number(match[1]), count: Number(match[2] ?? 0) };
}

/** Header line of `trace`: how many of the events written are still in the buffer. Gives how many are not. */
export function parseOverwritten(line: string): number {
  const match = /^#\s*entries-in-buffer\/entries-written:\s*(\d{1,15})\/(\d{1,15})/.exec(line);
  return match === null ? 0 : Math.max(0, Number(match[2]) - Number(match[1]));
}

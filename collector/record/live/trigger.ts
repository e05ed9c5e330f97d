import { TraceError } from '../../../trace/errors.ts';
import type { LiveDevice } from './latency.ts';

/** What a trigger watches: an ioreq (as Dom0 or as the waiting vCPU sees it), an interrupt, a virtio request. */
export type TriggerSubject = 'mmio' | 'irq' | 'request';

/** One condition of `--trigger`. */
export interface Trigger {
  readonly subject: TriggerSubject;
  /** Name of the device; undefined: any. */
  readonly device: string | undefined;
  /** True for '>=', false for '>'. */
  readonly orEqual: boolean;
  readonly ns: number;
  /** As it was written, for messages. */
  readonly text: string;
}

const SUBJECTS: readonly string[] = ['mmio', 'irq', 'request'];
const UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9 };
const EXAMPLE = "one such as 'mmio > 2ms', 'irq > 500us' or 'request(blk0) >= 10 ms'";

/**
 * Parses conditions separated by commas: SUBJECT [(DEVICE)] > DURATION, or >=. The duration has a unit: ns, us, µs,
 * ms or s. Throws E_USAGE that names the condition and what is wrong with it.
 */
export function parseTrigger(text: string): Trigger[] {
  return text.split(',').map((part) => parseOne(part.trim(), text));
}

function parseOne(text: string, all: string): Trigger {
  if (text === '') throw usage('a trigger is empty', EXAMPLE, JSON.stringify(all));
  const subject = /^[^\s(<>=]*/.exec(text)![0];
  let rest = text.slice(subject.length).trimStart();
  if (!SUBJECTS.includes(subject)) {
    throw usage(`trigger '${text}' watches nothing known`, 'mmio, irq or request', subject || 'nothing');
  }
  let device: string | undefined;
  if (rest.startsWith('(')) {
    const close = rest.indexOf(')');
    if (close < 0) throw usage(`trigger '${text}' names no device`, "a ')' behind it", rest);
    device = rest.slice(1, close).trim();
    if (!/^[\w.-]+$/.test(device)) {
      throw usage(`trigger '${text}' names no device`, 'one such as blk0', JSON.stringify(device));
    }
    rest = rest.slice(close + 1).trimStart();
  }
  const sign = /^[<>=!]*/.exec(rest)![0];
  if (sign !== '>' && sign !== '>=') {
    throw usage(`trigger '${text}' compares with nothing`, "'>' or '>='", sign || rest || 'nothing');
  }
  const ns = parseDuration(rest.slice(sign.length).trim(), text);
  return { subject: subject as TriggerSubject, device, orEqual: sign === '>=', ns, text };
}

function parseDuration(text: string, trigger: string): number {
  const match = /^(\d+(?:\.\d*)?|\.\d+)\s*(\S*)$/.exec(text);
  const what = `trigger '${trigger}' has no duration`;
  if (match === null) throw usage(what, 'a number and a unit such as 2ms', text || 'nothing');
  const unit = match[2]!;
  if (!Object.hasOwn(UNITS, unit)) {
    throw usage(what, 'the unit ns, us, µs, ms or s', unit || `${match[1]!} without a unit`);
  }
  const ns = Number(match[1]) * UNITS[unit]!;
  if (!(ns > 0 && ns <= Number.MAX_SAFE_INTEGER)) throw usage(what, 'one above 0 and below 104 days', text);
  return ns;
}

/** Throws E_USAGE if a trigger names a device that is not there. */
export function checkTriggers(triggers: readonly Trigger[], devices: readonly LiveDevice[]): void {
  for (const { device, text } of triggers) {
    if (device === undefined || devices.some((d) => d.name === device)) continue;
    const names = devices.map((d) => d.name).join(', ');
    throw usage(`trigger '${text}' names a device that the domain has not`, names || 'no device', device);
  }
}

function usage(what: string, expected: string, got: string): TraceError {
  return new TraceError('E_USAGE', what, { expected, got });
}

import { TraceError } from '../../trace/errors.ts';
import { VIRTIO_MMIO_REGISTERS } from '../../trace/virtio-mmio.ts';
import { parseCondition, type Condition } from './condition.ts';
import { gpuCommandNames } from './gpu-commands.ts';
import { memoryWrites } from './memory-writes.ts';
import { hex } from './names.ts';
import { REQUEST_NAMES } from './requests.ts';
import type { PeekedChain } from './rings.ts';
import type { Steps } from './steps.ts';

/** Values that a condition may name. Those of requests need guest memory. */
const NAMES = ['value', 'size', 'step', 'vcpu', 'queue', 'chains', 'type', 'sector', 'length'];
const OF_REQUESTS = ['type', 'sector', 'length'];

export interface Breakpoint {
  /** As the list shows it; 0 for one that is gone when it was met. */
  id: number;
  text: string;
  /** Whether position k may be one, by the recording alone. */
  matches: (k: number) => boolean;
  condition?: Condition;
  /** Whether `condition` asks for the requests of a notify. */
  needsRequests: boolean;
}

/**
 * What a breakpoint's text says, without `id`:
 *
 *     75                              step 75
 *     blk0.QueueNotify [write]        an access to a register of a device; fields as blk0.config.capacity
 *     QueueNotify                     of any device
 *     blk0 [read|write]               any access to it
 *     blk0 queue 0                    a notify of that queue
 *     memory 0x43150000+16            bytes of guest memory were written, by driver or device
 *
 * each with ` if CONDITION`. Throws E_USAGE.
 */
export function parseBreakpoint(
  text: string,
  steps: Steps,
  devices: readonly string[],
): Omit<Breakpoint, 'id'> {
  const [place = '', ...rest] = text.trim().split(/\s+if\s+/);
  const condition = rest.length === 0 ? undefined : conditionOf(rest.join(' if '));
  const matches = placeOf(place.trim(), steps, devices);
  return {
    text: text.trim(),
    matches,
    needsRequests: condition !== undefined && needsRequests(condition),
    ...(condition === undefined ? {} : { condition }),
  };
}

export function conditionOf(text: string): Condition {
  return parseCondition(text, NAMES, new Map([...REQUEST_NAMES, ...gpuCommandNames()]));
}

/** Whether a condition asks for the requests of a notify. */
export function needsRequests({ names }: Condition): boolean {
  return OF_REQUESTS.some((name) => names.has(name));
}

/** Whether a condition holds at a position; with several chains, whether it does for one of them. */
export function holdsWith(
  condition: Condition,
  steps: Steps,
  k: number,
  chains: readonly PeekedChain[],
): boolean {
  const facts: Readonly<Record<string, number | undefined>> = {
    value: steps.value[k],
    size: steps.size[k],
    step: steps.step[k],
    vcpu: steps.vcpu[k],
    queue: steps.notified(k),
    chains: steps.added[k],
  };
  const requests = chains.length === 0 ? [undefined] : chains.map(({ request }) => request);
  return requests.some((request) =>
    condition.holds((name) =>
      name === 'type' || name === 'sector' || name === 'length' ? request?.[name] : facts[name],
    ),
  );
}

/** First position from `from` to `to` at which one of the breakpoints may be. */
export function firstMatch(points: readonly Breakpoint[], from: number, to: number): number | undefined {
  if (points.length === 0) return undefined;
  for (let k = from; k <= to; k++) if (points.some((point) => point.matches(k))) return k;
  return undefined;
}

function placeOf(place: string, steps: Steps, devices: readonly string[]): (k: number) => boolean {
  const words = place.split(/\s+/);
  const [first = '', second, third] = words;
  if (/^(0x[0-9a-f]+|[0-9]+)$/i.test(first) && words.length === 1) {
    const at = steps.positionOf(Number(first));
    if (at >= steps.count)
      throw new TraceError('E_USAGE', `the recording has no access from step ${first} on`, {
        expected: `at most ${steps.step[steps.count - 1] ?? 0}`,
      });
    return (k) => k === at;
  }
  if (first === 'memory') return memoryPlace(words.slice(1).join(''), steps);
  const { device, register } = splitPlace(first, devices);
  if (second === 'queue' && device !== undefined && register === undefined) {
    const queue = Number(third);
    if (!/^[0-9]+$/.test(third ?? '') || words.length > 3) throw usage(place, `${first} queue N`);
    return (k) => steps.deviceName(steps.transport[k]!) === device && steps.notified(k) === queue;
  }
  const write = second === undefined ? undefined : second === 'write' ? 1 : second === 'read' ? 0 : -1;
  if (write === -1 || words.length > 2) throw usage(place, 'read, write or nothing behind it');
  return (k) =>
    (write === undefined || steps.write[k] === write) &&
    (device === undefined || steps.deviceName(steps.transport[k]!) === device) &&
    (register === undefined || steps.register(k).toLowerCase() === register);
}

const PLACES = (devices: readonly string[]): string =>
  `a step, REGISTER, DEVICE.REGISTER, DEVICE queue N or memory ADDRESS+BYTES; devices: ${devices.join(', ')}`;

function usage(place: string, expected: string): TraceError {
  return new TraceError('E_USAGE', `the place "${place}" is not understood`, { expected });
}

function splitPlace(text: string, devices: readonly string[]): { device?: string; register?: string } {
  const dot = text.indexOf('.');
  const head = dot < 0 ? text : text.slice(0, dot);
  if (devices.includes(head)) {
    if (dot < 0) return { device: head };
    return { device: head, register: registerOf(text.slice(dot + 1), text) };
  }
  if (dot >= 0 && head !== 'config') throw usage(text, `one of ${devices.join(', ')}`);
  if (!isRegister(text)) throw usage(text, PLACES(devices));
  return { register: text.toLowerCase() };
}

function isRegister(text: string): boolean {
  const name = text.toLowerCase();
  if (/^config\+0x|^config\../.test(name)) return true;
  return VIRTIO_MMIO_REGISTERS.some((register) => register.name.toLowerCase() === name);
}

function registerOf(text: string, place: string): string {
  if (isRegister(text)) return text.toLowerCase();
  throw usage(place, VIRTIO_MMIO_REGISTERS.map((register) => register.name).join(', '));
}

function memoryPlace(text: string, steps: Steps): (k: number) => boolean {
  const found = /^(0x[0-9a-f]+|[0-9]+)(?:\+(0x[0-9a-f]+|[0-9]+))?$/i.exec(text);
  const gpa = Number(found?.[1]);
  const length = Number(found?.[2] ?? 1);
  if (!Number.isSafeInteger(gpa) || length < 1) throw usage(`memory ${text}`, 'memory ADDRESS+BYTES');
  const positions = new Set<number>();
  for (const write of memoryWrites(steps, 0, steps.count))
    if (write.gpa < gpa + length && write.gpa + write.length > gpa) positions.add(write.position);
  if (positions.size === 0)
    throw new TraceError('E_USAGE', `nothing in the recording writes to ${hex(gpa)}+${length}`);
  return (k) => positions.has(k);
}

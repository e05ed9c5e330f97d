import { F_RING_PACKED, hasFeature } from '../../devices/features.ts';
import { GuestFault } from '../../devices/guest-memory.ts';
import { CONFIG_SCHEMAS } from '../../devices/models/index.ts';
import type { QueueState } from '../../devices/queue/queue.ts';
import type { DriverView } from './driver-view.ts';
import { inspect, type FetchMemory } from './guest-view.ts';
import { featuresText, hex, interruptText, statusText } from './names.ts';
import { peekChains, ringFacts, type PeekedChain } from './rings.ts';
import type { Steps } from './steps.ts';

/** Something to look at: a value, or a group of them. */
export interface Field {
  name: string;
  value: string;
  children?: Field[];
  /** Guest-physical address of the memory that it is about. */
  gpa?: number;
}

/** The queue's state as the device itself keeps it, where the target lets one see it. */
export type DeviceQueue = (transport: number, queue: number) => QueueState | undefined;

export interface Place {
  steps: Steps;
  /** At the same position as the target. */
  view: DriverView;
  fetch: FetchMemory;
  deviceQueue: DeviceQueue;
  position: number;
}

/** Registers, features and configuration of a device as the driver knows them, and its queues. */
export async function deviceField(place: Place, transport: number): Promise<Field> {
  const { view, steps } = place;
  const plan = view.plan(transport)!;
  const state = view.state(transport)!;
  const seen = view.seenOf(transport)!;
  const name = steps.deviceName(transport);
  const children: Field[] = [
    field('status', statusText(state.status)),
    field(
      'interruptStatus',
      seen.interruptStatus === undefined ? 'not read yet' : interruptText(seen.interruptStatus),
    ),
  ];
  const [low, high] = seen.offered;
  if (low !== undefined) children.push(field('offered', featuresText(plan.kind, [low, high ?? 0])));
  children.push(field('negotiated', featuresText(plan.kind, state.negotiated)));
  const config = configFields(place, transport);
  if (config.length > 0)
    children.push({ name: 'config', value: `${config.length} fields read`, children: config });
  for (const [queue, queueState] of view.queues(transport))
    children.push(await queueField(place, transport, queue, queueState));
  const version = plan.version === 1 ? 'legacy' : 'modern';
  return { name, value: `virtio-${plan.kind}, ${version}, at ${hex(plan.base)}, SPI ${plan.spi}`, children };
}

function configFields({ view }: Place, transport: number): Field[] {
  const schema = CONFIG_SCHEMAS.get(view.plan(transport)!.deviceId) ?? [];
  return schema.flatMap(({ name }) => {
    const value = view.configField(transport, name);
    if (value === undefined) return [];
    return [field(name, name === 'mac' ? macText(value) : value.toString())];
  });
}

function macText(value: bigint): string {
  return Array.from({ length: 6 }, (_, i) =>
    ((value >> BigInt(8 * i)) & 255n).toString(16).padStart(2, '0'),
  ).join(':');
}

export async function queueField(
  place: Place,
  transport: number,
  queue: number,
  state: QueueState,
): Promise<Field> {
  const name = `queue ${queue}`;
  if (!state.ready) return field(name, 'not enabled');
  const packed = hasFeature(place.view.state(transport)!.negotiated, F_RING_PACKED);
  const children: Field[] = [
    field('size', String(state.num)),
    { name: packed ? 'descriptor ring' : 'descriptors', value: hex(state.desc), gpa: state.desc },
    { name: packed ? 'driver events' : 'avail', value: hex(state.driver), gpa: state.driver },
    { name: packed ? 'device events' : 'used', value: hex(state.device), gpa: state.device },
  ];
  const own = place.deviceQueue(transport, queue);
  if (own !== undefined) {
    const wraps = packed ? ` wrap ${Number(own.lastAvailWrap)}/${Number(own.usedWrap)}` : '';
    children.push(
      field(
        'device',
        `next to take ${own.lastAvail}, next to give ${own.usedIdx}${wraps}, ${own.inUse} taken`,
      ),
    );
  }
  if (packed) return { name, value: `packed, ${state.num} entries`, children };
  try {
    const facts = await inspect(place.fetch, (memory) => ringFacts(memory, state));
    children.push(
      field('avail.flags', hex(facts.availFlags)),
      field('avail.idx', String(facts.availIdx)),
      field('used.flags', hex(facts.usedFlags)),
      field('used.idx', String(facts.usedIdx)),
      field('used_event', String(facts.usedEvent)),
      field('avail_event', String(facts.availEvent)),
      field('in flight', String(facts.inFlight)),
    );
    return { name, value: `split, ${state.num} entries, ${facts.inFlight} in flight`, children };
  } catch (error) {
    return { name, value: `split, ${state.num} entries, ${faultText(error)}`, children };
  }
}

/** The newest `count` chains of a queue (packed: the next ones that the device will take). */
export async function chainsOf(
  place: Place,
  transport: number,
  queue: number,
  count: number,
): Promise<PeekedChain[]> {
  const plan = place.view.plan(transport);
  const transportState = place.view.state(transport);
  const state = transportState?.queues[queue];
  if (plan === undefined || transportState === undefined || state?.ready !== true) return [];
  const { negotiated } = transportState;
  const own = place.deviceQueue(transport, queue);
  if (hasFeature(negotiated, F_RING_PACKED) && own === undefined)
    return [{ fault: 'where a packed ring goes on is known to the built-in models alone' }];
  const at =
    own === undefined ? state : { ...state, lastAvail: own.lastAvail, lastAvailWrap: own.lastAvailWrap };
  return inspect(place.fetch, (memory) =>
    peekChains(memory, { kind: plan.kind, queue, state: at, negotiated }, count),
  );
}

export function chainField(peeked: PeekedChain, n: number): Field {
  const { chain, request, fault } = peeked;
  const name = chain === undefined ? `chain ${n}` : `chain ${n}, head ${chain.id}`;
  const children = [
    ...(chain?.out ?? []).map(({ gpa, length }) => segment('device reads', gpa, length)),
    ...(chain?.in ?? []).map(({ gpa, length }) => segment('device writes', gpa, length)),
  ];
  return { name, value: request?.text ?? fault ?? '', ...(children.length === 0 ? {} : { children }) };
}

function segment(name: string, gpa: number, length: number): Field {
  return { name, value: `${hex(gpa)}+${length}`, gpa };
}

function field(name: string, value: string): Field {
  return { name, value };
}

/** What may be wrong with memory that a guest filled, in words; anything else is thrown on. */
function faultText(error: unknown): string {
  if (error instanceof GuestFault) return error.message;
  throw error;
}

/** Lines, two blanks deeper for each group. */
export function fieldLines(of: Field, depth = 0): string[] {
  const line = `${'  '.repeat(depth)}${of.name}: ${of.value}`;
  return [line, ...(of.children ?? []).flatMap((child) => fieldLines(child, depth + 1))];
}

/** Every value by its path, for comparisons. */
export function flatten(of: Field, path = ''): Map<string, string> {
  const own = path === '' ? of.name : `${path}.${of.name}`;
  const all = new Map([[own, of.value]]);
  for (const child of of.children ?? []) for (const entry of flatten(child, own)) all.set(...entry);
  return all;
}

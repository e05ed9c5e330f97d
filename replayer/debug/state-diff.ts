import { memoryWrites, type MemoryWrite } from './memory-writes.ts';
import { deviceField, flatten } from './inspect.ts';
import type { DebugSession } from './session.ts';

/** Bytes of memory that a comparison of two positions keeps at most. */
const MOST_COMPARED = 64 << 20;

/** What has changed between two positions. */
export interface StateDiff {
  /** By path; undefined on the side where it is not there. */
  fields: { path: string; before: string | undefined; after: string | undefined }[];
  /** Bytes that differ, one entry a stretch. */
  memory: { gpa: number; length: number; by: string; before: Uint8Array; after: Uint8Array }[];
}

/** What differs between two positions. The session stands where it stood. */
export async function diffStates(session: DebugSession, from: number, to: number): Promise<StateDiff> {
  const [early, late] = from <= to ? [from, to] : [to, from];
  const writes = [...stretches(memoryWrites(session.steps, early, late))];
  const take = async (at: number): Promise<{ fields: Map<string, string>; bytes: Uint8Array[] }> => {
    await session.goTo(at);
    const bytes: Uint8Array[] = [];
    for (const { gpa, length } of writes) bytes.push(await session.memory(gpa, length));
    return { fields: await allFields(session), bytes };
  };
  const back = session.position;
  const before = await take(from);
  const after = await take(to);
  await session.goTo(back);
  const memory = writes.flatMap(({ gpa, by, both }, i) =>
    changed(gpa, both === true ? 'driver and device' : by, before.bytes[i]!, after.bytes[i]!),
  );
  const paths = new Set([...before.fields.keys(), ...after.fields.keys()]);
  const fields = [...paths]
    .map((path) => ({ path, before: before.fields.get(path), after: after.fields.get(path) }))
    .filter((field) => field.before !== field.after);
  return { fields, memory };
}

async function allFields(session: DebugSession): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  for (const transport of session.view.transports())
    for (const entry of flatten(await deviceField(session.place, transport))) all.set(...entry);
  return all;
}

/** Each stretch of memory once, without overlaps, rising. */
function stretches(writes: Iterable<MemoryWrite>): MemoryWrite[] {
  const sorted = [...writes].sort((a, b) => a.gpa - b.gpa);
  const found: MemoryWrite[] = [];
  let total = 0;
  for (const write of sorted) {
    const last = found.at(-1);
    const end = last === undefined ? -1 : last.gpa + last.length;
    if (last !== undefined && write.gpa <= end) {
      last.length = Math.max(end, write.gpa + write.length) - last.gpa;
      if (write.by !== last.by) last.both = true;
    } else found.push({ ...write });
    total += write.length;
    if (total > MOST_COMPARED) break;
  }
  return found;
}

/** Stretches of bytes that differ; equal bytes of less than 8 between them belong to one. */
function changed(gpa: number, by: string, before: Uint8Array, after: Uint8Array): StateDiff['memory'] {
  const found: StateDiff['memory'] = [];
  let start = -1;
  let end = 0;
  const flush = (): void => {
    if (start < 0) return;
    const cut = (bytes: Uint8Array): Uint8Array => bytes.subarray(start, end);
    found.push({ gpa: gpa + start, length: end - start, by, before: cut(before), after: cut(after) });
    start = -1;
  };
  for (let i = 0; i < before.length; i++) {
    if (before[i] === after[i]) continue;
    if (start >= 0 && i - end >= 8) flush();
    if (start < 0) start = i;
    end = i + 1;
  }
  flush();
  return found;
}

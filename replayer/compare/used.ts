import { TraceError } from '../../trace/errors.ts';
import type { Divergence } from '../result.ts';
import type { RecordedElement, RecordedUsed, ReplaySetup, ReplayTarget } from '../target.ts';
import { byteDifference } from './bytes.ts';
import type { Divergences } from './divergences.ts';
import type { Observed } from './observed.ts';
import type { Policies } from './policy.ts';

/** Rings: le16 flags, le16 idx, then entries of le32 id, le32 len (VIRTIO 1.2, 2.7.8). */
const USED_IDX_AT = 2;
const USED_RING_AT = 4;
const USED_ENTRY_BYTES = 8;
/** Packed: le64 address, le32 len, le16 id, le16 flags (2.8.13). */
const PACKED_DESC_BYTES = 16;
/** virtio_net_hdr before num_buffers: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset (5.1.6). */
const OFFLOAD_BYTES = 10;
const F_AVAIL = 1 << 7;
const F_USED = 1 << 15;

export interface UsedCounts {
  elements: number;
  buffers: number;
  bytes: number;
  racy: number;
  racyDiffering: number;
}

/** An entry of a ring as it is in guest memory now; undefined: not there. */
interface Entry {
  id: number;
  len: number;
}

/** Compares used rings, and the buffers that devices wrote, with those recorded. */
export class UsedCheck {
  readonly counts: UsedCounts = { elements: 0, buffers: 0, bytes: 0, racy: 0, racyDiffering: 0 };
  /** Used records whose elements did not all come in time. */
  missing = 0;
  /** Of elements, those ignored by a policy included. */
  private differences = 0;
  private readonly ram: ReplaySetup['ram'];
  private readonly policies: Policies;
  private readonly divergences: Divergences;
  private readonly observed: Observed;
  private readonly name: (transport: number) => string;
  private readonly nets: ReadonlySet<number>;

  constructor(
    { ram, devices }: Pick<ReplaySetup, 'ram' | 'devices'>,
    policies: Policies,
    divergences: Divergences,
    observed: Observed,
    name: (transport: number) => string,
  ) {
    this.ram = ram;
    this.policies = policies;
    this.divergences = divergences;
    this.observed = observed;
    this.name = name;
    this.nets = new Set(devices.filter(({ kind }) => kind === 'net').map(({ transport }) => transport));
  }

  save(): { counts: UsedCounts; missing: number; differences: number } {
    return { counts: { ...this.counts }, missing: this.missing, differences: this.differences };
  }

  restore({ counts, missing, differences }: ReturnType<UsedCheck['save']>): void {
    Object.assign(this.counts, counts);
    this.missing = missing;
    this.differences = differences;
  }

  inRam(gpa: number, length: number): boolean {
    for (const bank of this.ram) if (gpa >= bank.base && gpa + length <= bank.base + bank.length) return true;
    return false;
  }

  private need(step: number, gpa: number, length: number): void {
    if (this.inRam(gpa, length)) return;
    throw new TraceError('E_TRACE_DAMAGED', 'a used record names memory that the guest cannot have', {
      source: `recording, step ${step}`,
      got: `${length} bytes at 0x${gpa.toString(16)}`,
    });
  }

  /** `came`: what target.used() said. */
  async compare(step: number, used: RecordedUsed, came: boolean, target: ReplayTarget): Promise<void> {
    const { elements, ring, size, packed } = used;
    const bytes = packed === true ? PACKED_DESC_BYTES * size : USED_RING_AT + USED_ENTRY_BYTES * size;
    this.need(step, ring, bytes);
    const view = await target.view(ring, bytes);
    const words = new DataView(view.buffer, view.byteOffset, view.byteLength);
    const behind = packed === true ? (came ? 0 : elements.length) : splitBehind(words, used);
    if (!came || behind > 0)
      this.missed(step, used, packed === true ? undefined : words.getUint16(USED_IDX_AT, true));
    const entries = elements.map((element, k) =>
      k >= elements.length - behind ? undefined : entryAt(words, used, element, k),
    );
    const counterparts = this.match(elements, entries);
    for (const [k, element] of elements.entries()) {
      const entry = counterparts[k];
      if (entry === undefined) continue;
      await this.element(step, used, k, element, entry, target);
    }
  }

  /** Reported once a record; what did not come is not compared further. */
  private missed(step: number, used: RecordedUsed, index: number | undefined): void {
    this.missing++;
    this.divergences.add({
      step,
      kind: 'missing',
      ...this.where(used),
      field: 'used index',
      expected: `${used.index}, with head ${used.elements.map(({ id }) => id).join(', ')}`,
      got: index === undefined ? 'not that far' : String(index),
    });
  }

  /** The entry to compare each recorded element with: the one at its place, or by head where order is ignored. */
  private match(
    elements: readonly RecordedElement[],
    entries: readonly (Entry | undefined)[],
  ): readonly (Entry | undefined)[] {
    if (!this.policies.usedOrder || elements.every(({ id }, k) => entries[k]?.id === id)) return entries;
    const left = entries.filter((entry) => entry !== undefined);
    const found = elements.map(({ id }) => left.find((entry) => entry.id === id));
    if (found.some((entry, k) => entry === undefined && entries[k] !== undefined)) return entries;
    this.policies.count('used-order');
    return found;
  }

  private async element(
    step: number,
    used: RecordedUsed,
    k: number,
    element: RecordedElement,
    entry: Entry,
    target: ReplayTarget,
  ): Promise<void> {
    const { counts, observed } = this;
    counts.elements++;
    observed.pair(entry.id, entry.len);
    const index = used.packed === true ? (element.at ?? 0) : (used.index - used.elements.length + k) & 0xffff;
    const where = { ...this.where(used), element: index, id: element.id };
    const before = this.differences;
    const differs = (
      kind: Divergence['kind'],
      field: string,
      rest: Pick<Divergence, 'expected' | 'got' | 'memory'>,
    ) => {
      this.differences++;
      if (element.racy && this.policies.racy) this.policies.count('racy');
      else
        this.divergences.add({
          step,
          kind,
          ...where,
          field,
          ...rest,
          ...(element.racy ? { racy: true } : {}),
        });
    };
    if (entry.id !== element.id)
      differs('used', 'id', { expected: String(element.id), got: String(entry.id) });
    if (entry.len !== element.len)
      differs('used', 'len', { expected: String(element.len), got: String(entry.len) });
    for (const [b, { gpa, bytes }] of element.buffers.entries()) {
      this.need(step, gpa, bytes.length);
      const got = await target.view(gpa, bytes.length);
      counts.buffers++;
      counts.bytes += bytes.length;
      observed.bytes(got);
      let memory = byteDifference(gpa, bytes, got);
      if (memory === undefined) continue;
      if (b === 0 && memory.at < OFFLOAD_BYTES && this.policies.netHeader && this.isReceived(used)) {
        this.policies.count('net-header');
        memory = byteDifference(
          gpa,
          bytes,
          Buffer.concat([bytes.subarray(0, OFFLOAD_BYTES), got.subarray(OFFLOAD_BYTES)]),
        );
        if (memory === undefined) continue;
      }
      if (this.policies.memory) this.policies.count('memory');
      else {
        const field = `byte ${memory.at} at 0x${(gpa + memory.at).toString(16)}`;
        differs('memory', field, {
          expected: hexByte(bytes[memory.at]),
          got: hexByte(got[memory.at]),
          memory,
        });
      }
    }
    if (!element.racy) return;
    counts.racy++;
    if (this.differences > before) counts.racyDiffering++;
  }

  /** Receive queues of a network device have even numbers (VIRTIO 1.2, 5.1.2). */
  private isReceived({ transport, queue }: RecordedUsed): boolean {
    return queue % 2 === 0 && this.nets.has(transport);
  }

  private where({ transport, queue }: RecordedUsed): { transport: number; device: string; queue: number } {
    return { transport, device: this.name(transport), queue };
  }
}

function hexByte(byte: number | undefined): string {
  return byte === undefined ? 'none' : `0x${byte.toString(16).padStart(2, '0')}`;
}

/** Elements by which the ring is behind the record; being ahead is no fault: a device may be faster. */
function splitBehind(words: DataView, { index, elements }: RecordedUsed): number {
  const behind = (index - words.getUint16(USED_IDX_AT, true)) & 0xffff;
  return behind < 0x8000 ? Math.min(behind, elements.length) : 0;
}

function entryAt(
  words: DataView,
  used: RecordedUsed,
  element: RecordedElement,
  k: number,
): Entry | undefined {
  const { index, elements, size, packed } = used;
  if (packed !== true) {
    const at = USED_RING_AT + USED_ENTRY_BYTES * (((index - elements.length + k) & 0xffff) % size);
    return { id: words.getUint32(at, true), len: words.getUint32(at + 4, true) };
  }
  const at = PACKED_DESC_BYTES * ((element.at ?? 0) % size);
  const flags = words.getUint16(at + 14, true);
  // A used descriptor has both bits alike (2.8.1).
  const there = ((flags & F_AVAIL) !== 0) === ((flags & F_USED) !== 0);
  return there ? { id: words.getUint16(at + 12, true), len: words.getUint32(at + 8, true) } : undefined;
}

import type {
  DevicePlan,
  FinalState,
  MakeTarget,
  RecordedElement,
  RecordedUsed,
  ReplayTarget,
} from '../../target.ts';

interface UsedLine {
  q: number;
  used: number;
  idx: number;
  num: number;
  packed?: boolean;
  el: { id: number; len: number; bufs: [number, string][]; at?: number; h?: { ty: number; sec: number } }[];
}

type Line =
  | { t: 'R' | 'W'; i: number; a: number; s: number; v: number }
  | { t: 'M'; i: number; a: number; n: number; b: string }
  | { t: 'N'; i: number; d: number; q: number; late: [number, number][] }
  | { t: 'U'; i: number; d: number; q: number }
  | { t: 'X'; i: number; d: number; u: UsedLine[] }
  | { t: 'I'; i: number; irq: number; l: 0 | 1 };

export interface Played {
  name: string;
  reads: number;
  elements: number;
  /** First differences, readable. */
  differences: string[];
  /** Interrupt edges as 'transport level', and those recorded as 'SPI level'. */
  lines: string[];
  recordedLines: string[];
  final: FinalState;
}

/** Feeds the text of a recording to a target as it stands, without the replayer's core: what a target test needs. */
export async function play(
  make: MakeTarget,
  text: string,
  devices: readonly DevicePlan[],
  options: { timeoutMs?: number; before?: (step: number, target: ReplayTarget) => Promise<void> | void } = {},
): Promise<Played> {
  const lines = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
  const expected = new Map<number, number>();
  const differences: string[] = [];
  const edges: string[] = [];
  const recordedLines: string[] = [];
  let [reads, elements] = [0, 0];
  const target = make(
    { devices, ram: [{ base: 0x4000_0000, length: 0x1000_0000 }], timeoutMs: options.timeoutMs ?? 20_000 },
    {
      answer: (step, value) => {
        reads++;
        const recorded = expected.get(step);
        if (recorded !== value)
          differences.push(`step ${step} read: recorded ${recorded ?? '-'}, got ${value}`);
      },
      line: (_, transport, level) => edges.push(`${transport} ${level}`),
    },
  );
  try {
    await target.start();
    for (const line of lines) {
      if (options.before !== undefined) await options.before(line.i, target);
      switch (line.t) {
        case 'R':
          expected.set(line.i, line.v);
          target.read(line.i, line.a, line.s);
          break;
        case 'W':
          target.write(line.i, line.a, line.s, line.v);
          break;
        case 'M':
          target.setMemory(line.a, Buffer.from(line.b, 'base64'));
          break;
        case 'N':
          for (const [queue] of line.late) target.write(line.i, notifyRegister(devices, line.d), 4, queue);
          break;
        case 'U':
          target.write(line.i, notifyRegister(devices, line.d), 4, line.q);
          break;
        case 'X':
          for (const ring of line.u) {
            const used = usedOf(line.d, ring);
            elements += used.elements.length;
            if (!(await target.used(line.i, used)))
              differences.push(`step ${line.i} queue ${ring.q}: used index ${ring.idx} did not appear`);
            else differences.push(...(await compare(target, line.i, used)));
          }
          break;
        case 'I':
          recordedLines.push(`${line.irq} ${line.l}`);
          break;
      }
    }
    await target.flush();
    const final = await target.final();
    return { name: target.name, reads, elements, differences, lines: edges, recordedLines, final };
  } finally {
    await target.stop();
  }
}

function notifyRegister(devices: readonly DevicePlan[], transport: number): number {
  return devices.find((plan) => plan.transport === transport)!.base + 0x50;
}

function usedOf(transport: number, { q, used, idx, num, el, packed }: UsedLine): RecordedUsed {
  const elements: RecordedElement[] = el.map(({ id, len, bufs, h, at }) => ({
    id,
    len,
    buffers: bufs.map(([gpa, base64]) => ({ gpa, bytes: Buffer.from(base64, 'base64') })),
    racy: false,
    ...(at === undefined ? {} : { at }),
    ...(h === undefined ? {} : { request: { type: h.ty, sector: h.sec } }),
  }));
  return {
    transport,
    queue: q,
    ring: used,
    index: idx,
    size: num,
    elements,
    ...(packed === true ? { packed } : {}),
  };
}

async function compare(target: ReplayTarget, step: number, used: RecordedUsed): Promise<string[]> {
  const wrong: string[] = [];
  const packed = used.packed === true;
  for (const [k, { id, len, buffers, at: place }] of used.elements.entries()) {
    const index = (used.index - used.elements.length + k) & 0xffff;
    const entry = Buffer.from(
      packed
        ? await target.view(used.ring + 16 * (place ?? 0) + 8, 8)
        : await target.view(used.ring + 4 + 8 * (index % used.size), 8),
    );
    const what = `step ${step} queue ${used.queue} used element ${packed ? (place ?? 0) : index}`;
    const got = packed
      ? `${entry.readUInt16LE(4)} ${entry.readUInt32LE(0)}`
      : `${entry.readUInt32LE(0)} ${entry.readUInt32LE(4)}`;
    if (got !== `${id} ${len}`) wrong.push(`${what}: recorded ${id} ${len}, got ${got}`);
    for (const { gpa, bytes } of buffers) {
      const there = await target.view(gpa, bytes.length);
      const at = bytes.findIndex((byte, n) => byte !== there[n]);
      if (at >= 0) wrong.push(`${what} byte ${at}: recorded ${bytes[at]!}, got ${there[at]!}`);
    }
  }
  return wrong;
}

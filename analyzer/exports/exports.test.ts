import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SpanBatch } from '../../trace/spans.ts';
import { StageLengths, type SpanFamily } from '../../trace/spans.ts';
import { generateSpans, PLANS } from '../../viewer/testing/generated.ts';
import { csv } from './csv.ts';
import { perfetto } from './perfetto.ts';
import { ProtoWriter } from './protobuf.ts';
import type { SpanRows } from './spans.ts';
import { folded, speedscope, stacksOf } from './stacks.ts';

function spansOf(
  family: SpanFamily,
  count: number,
  names: readonly string[],
): SpanRows & { columns: SpanBatch } {
  const [columns] = generateSpans(family, count);
  const rows = Uint32Array.from({ length: columns!.length }, (_, i) => i);
  return {
    plan: PLANS[family],
    columns: columns!,
    rows,
    weight: null,
    devices: names.map((name) => ({ name })),
  };
}

const NAMES = ['blk0', 'net0', 'console0', 'blk1'];

describe('stacks', () => {
  it('add up to the totals, in both formats', () => {
    const spans = spansOf('mmio', 3000, NAMES);
    const stacks = stacksOf(spans);
    const total = spans.rows.reduce((sum, i) => sum + (spans.columns.total[i]! || 0), 0);
    expect(stacks.reduce((sum, s) => sum + s.ns, 0) / total).toBeCloseTo(1, 9);
    const lines = folded(stacks).trim().split('\n');
    expect(lines).toHaveLength(stacks.length);
    for (const line of lines) expect(line).toMatch(/^mmio;(blk|net|console)\d;[^;]+;(read|write);[^;]+ \d+$/);
    const file = JSON.parse(speedscope('P', stacks)) as {
      shared: { frames: { name: string }[] };
      profiles: { type: string; unit: string; samples: number[][]; weights: number[]; endValue: number }[];
    };
    const [profile] = file.profiles;
    expect(profile).toMatchObject({ type: 'sampled', unit: 'nanoseconds' });
    expect(profile!.samples).toHaveLength(profile!.weights.length);
    expect(profile!.endValue).toBe(profile!.weights.reduce((a, b) => a + b, 0));
    const again = profile!.samples.map(
      (s, k) => `${s.map((f) => file.shared.frames[f]!.name).join(';')} ${profile!.weights[k]!}`,
    );
    expect(again).toEqual(lines);
  });

  it('keep a hostile name one frame of one line', () => {
    const spans = spansOf('mmio', 300, ['a;b 7\nmmio;c', 'x', 'y', 'z']);
    for (const line of folded(stacksOf(spans)).trim().split('\n')) expect(line.split(';')).toHaveLength(5);
  });
});

describe('csv', () => {
  it('has a line a span with every instant and stage', () => {
    const spans = spansOf('interrupt', 500, NAMES);
    const [head, ...lines] = csv(spans).trim().split('\r\n');
    const names = head!.split(',');
    expect(lines).toHaveLength(500);
    const lengths = new StageLengths(spans.plan);
    lines.forEach((line, row) => {
      const cells = line.split(',');
      expect(cells).toHaveLength(names.length);
      const stage = lengths.ns(spans.columns, 1, row);
      expect(cells[names.indexOf('inject→lr_ns')]).toBe(Number.isNaN(stage) ? '' : String(stage));
      expect(cells[names.indexOf('total_ns')]).toBe(String(spans.columns.total[row]));
    });
  });

  it('quotes, and defuses formulas', () => {
    const text = csv(spansOf('mmio', 50, ['=cmd|"x"!A1', 'a,b', 'c\nd', '+1']));
    expect(text).toContain(`"'=cmd|""x""!A1"`);
    expect(text).toContain('"a,b"');
    expect(text).toContain("'+1");
  });
});

/** A reader of its own: fields of a message as [field, wire type, value]. */
function fieldsOf(bytes: Uint8Array): [number, number, number | Uint8Array][] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields: [number, number, number | Uint8Array][] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag % 8;
    if (wire === 0) fields.push([Math.floor(tag / 8), wire, varint()]);
    else if (wire === 1) {
      fields.push([
        Math.floor(tag / 8),
        wire,
        view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32,
      ]);
      at += 8;
    } else {
      expect(wire).toBe(2);
      const length = varint();
      fields.push([Math.floor(tag / 8), wire, bytes.subarray(at, (at += length))]);
    }
  }
  expect(at).toBe(bytes.length);
  return fields;
}

describe('protobuf', () => {
  it('comes back from a reader of its own', () => {
    const value = fc.oneof(
      fc.record({ field: fc.integer({ min: 1, max: 5000 }), number: fc.maxSafeNat() }),
      fc.record({ field: fc.integer({ min: 1, max: 5000 }), text: fc.string({ maxLength: 3000 }) }),
    );
    fc.assert(
      fc.property(fc.array(value), (values) => {
        const writer = new ProtoWriter();
        for (const v of values) {
          if ('number' in v) {
            writer.varint(v.field, v.number);
            writer.fixed64(v.field, v.number);
          } else writer.text(v.field, v.text);
        }
        const expected = values.flatMap((v): unknown[] =>
          'number' in v
            ? [
                [v.field, 0, v.number],
                [v.field, 1, v.number],
              ]
            : [[v.field, 2, new TextEncoder().encode(v.text)]],
        );
        expect(fieldsOf(writer.written).map((f) => [...f])).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  });
});

describe('perfetto', () => {
  it('has every span as nested slices on tracks that exist, and flows with two ends', () => {
    const mmio = spansOf('mmio', 600, NAMES);
    const request = spansOf('request', 300, NAMES);
    // Requests of known notifies: the request's notify is the access's own start.
    const notifies = [...mmio.rows].filter((i) => mmio.columns.key[i] === 0x50);
    notifies.slice(0, 100).forEach((row, k) => {
      request.columns.at[0]![k] = mmio.columns.start[row]!;
      request.columns.device[k] = mmio.columns.device[row]!;
    });
    const tracks = new Map<number, string>();
    const open = new Map<number, number[]>();
    const flows = new Map<number, number>();
    let slices = 0;
    for (const [field, , packet] of fieldsOf(perfetto([mmio, request]))) {
      expect(field).toBe(1);
      const fields = new Map(fieldsOf(packet as Uint8Array).map(([f, , v]) => [f, v]));
      const descriptor = fields.get(60);
      if (descriptor !== undefined) {
        const d = new Map(fieldsOf(descriptor as Uint8Array).map(([f, , v]) => [f, v]));
        tracks.set(d.get(1) as number, new TextDecoder().decode(d.get(2) as Uint8Array));
        continue;
      }
      const time = fields.get(8) as number;
      const event = fieldsOf(fields.get(11) as Uint8Array);
      const of = (f: number): number | Uint8Array | undefined => event.find(([n]) => n === f)?.[2];
      const stack = open.get(of(11) as number) ?? [];
      open.set(of(11) as number, stack);
      expect(tracks.has(of(11) as number)).toBe(true);
      if (of(9) === 1) {
        expect(time).toBeGreaterThanOrEqual(stack.at(-1) ?? 0);
        stack.push(time);
        if (stack.length === 1) slices++;
      } else expect(time).toBeGreaterThanOrEqual(stack.pop()!);
      for (const [f, , id] of event)
        if (f === 47) flows.set(id as number, (flows.get(id as number) ?? 0) + 1);
    }
    for (const stack of open.values()) expect(stack).toEqual([]);
    expect(slices).toBe(900);
    expect([...tracks.values()]).toEqual(expect.arrayContaining(['vCPU v0', 'vCPU v1', 'blk0 queue 0']));
    expect([...flows.values()].filter((n) => n >= 2).length).toBeGreaterThanOrEqual(100);
  });
});

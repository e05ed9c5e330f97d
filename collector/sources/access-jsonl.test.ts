import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allRows, textSource } from '../../fixtures/dm-rows.ts';
import { REC_TAG, type RecordingBatch } from '../../trace/recording.ts';
import { MemorySource } from '../input/byte-source.ts';
import { AccessJsonlDecoder, accessJsonlFormat } from './access-jsonl.ts';
import { writeAccessJsonl } from './access-jsonl/write.ts';

const RAW = new URL('../../fixtures/raw/access-jsonl/', import.meta.url);
const CAPTURES = new URL('../../../shared/captures/', import.meta.url);

interface Decoded {
  rows: string[];
  text: string;
  decoder: AccessJsonlDecoder;
  batches: RecordingBatch[];
}

function decode(input: Uint8Array | string, chunkBytes?: number, capacity?: number): Decoded {
  const source = typeof input === 'string' ? textSource(input) : new MemorySource('test', input);
  const batches: RecordingBatch[] = [];
  const recording = (b: RecordingBatch): void => void batches.push(b);
  const decoder = new AccessJsonlDecoder(
    source,
    chunkBytes === undefined ? { recording } : { recording, chunkBytes },
  );
  const rows = allRows(decoder, capacity);
  return { rows, text: batches.map(writeAccessJsonl).join(''), decoder, batches };
}

const messages = ({ decoder }: Decoded): string[] =>
  decoder.report.errors.map((e) => `${e.code} ${e.message}`);
const sample = (name: string): Uint8Array => readFileSync(new URL(name, RAW));

describe('real recordings', () => {
  it.each(['xen-legacy-blk.jsonl', 'virt-modern.jsonl'])(
    '%s: read and written back byte for byte',
    (name) => {
      const bytes = sample(name);
      const whole = decode(bytes);
      expect(messages(whole)).toEqual([]);
      expect(whole.text).toBe(Buffer.from(bytes).toString());
      expect(accessJsonlFormat.sniff(bytes, new MemorySource('', bytes))).toBe(true);
      for (const chunk of [1, 100, 5000]) {
        const other = decode(bytes, chunk, 1);
        expect(other.rows).toEqual(whole.rows);
        expect(other.text).toBe(whole.text);
      }
      const silent = new AccessJsonlDecoder(new MemorySource('test', bytes));
      expect(allRows(silent)).toEqual(whole.rows);
    },
  );

  it('gives the rows of a notify and what came of it', () => {
    expect(decode(sample('xen-legacy-blk.jsonl')).rows.slice(68, 82)).toMatchInlineSnapshot(`
      [
        "NaN -1 rec.memory addr=0x4ba60000 arg0=16 arg3=68",
        "NaN -1 rec.memory addr=0x4800dbc0 arg0=16 arg3=69",
        "NaN -1 rec.memory addr=0x434a21f8 arg0=16 arg3=70",
        "NaN -1 rec.memory addr=0x4800dbd0 arg0=16 arg3=71",
        "NaN -1 rec.memory addr=0x4800dbe0 arg0=16 arg3=72",
        "NaN -1 rec.memory addr=0x4ba64000 arg0=2054 arg3=73",
        "NaN -1 rec.notify arg2=1 arg3=74",
        "NaN -1 rec.write addr=0x2000050 arg0=65540 arg3=75",
        "NaN -1 rec.used addr=0x4ba65000 arg2=1 arg3=76",
        "NaN -1 rec.irq arg0=33 arg1=1 arg3=77",
        "NaN -1 rec.read addr=0x2000060 data=0x1 arg0=65796 arg3=78",
        "NaN -1 rec.write addr=0x2000064 data=0x1 arg0=65540 arg3=79",
        "NaN -1 rec.irq arg0=33 arg3=80",
        "NaN -1 rec.read addr=0x2000070 data=0x7 arg0=65796 arg3=81",
      ]
    `);
  });

  it('gives a row for each queue of an X record', () => {
    expect(decode(sample('virt-modern.jsonl')).rows).toMatchInlineSnapshot(`
      [
        "NaN -1 rec.notify arg0=2 arg1=3 arg2=1 arg3=1835",
        "NaN -1 rec.write addr=0xa000450 data=0x3 arg0=65540 arg3=1836",
        "NaN -1 rec.used addr=0x4317d000 arg0=2 arg1=2 arg2=1 arg3=1837",
        "NaN -1 rec.used addr=0x4318d000 arg0=2 arg1=3 arg2=1 arg3=1837",
        "NaN -1 rec.read addr=0xa000460 data=0x1 arg0=65796 arg3=1838",
        "NaN -1 rec.write addr=0xa000464 data=0x1 arg0=65540 arg3=1839",
        "NaN -1 rec.write addr=0xa000650 arg0=65540 arg3=3166",
        "NaN -1 rec.used addr=0x444b5000 arg0=3 arg2=5 arg3=3167",
        "NaN -1 rec.used addr=0x4419d000 arg2=7 arg3=4369",
      ]
    `);
  });
});

const captures = existsSync(CAPTURES);
if (!captures) console.warn(`SKIPPED: ${CAPTURES.pathname} is not there`);

describe.skipIf(!captures)('captures', () => {
  it.each([
    ['qemu-virt/modern-blk-net-serial-gpu', { R: 350, W: 783, M: 4681, N: 59, X: 56 }],
    ['xen-arm-replay/blk-legacy', { R: 83, W: 75, I: 61, M: 325, N: 30, X: 30 }],
  ])('%s: every record, and the same text again', (name, counts) => {
    const path = new URL(`${name}.jsonl.xz`, CAPTURES).pathname;
    const bytes = execFileSync('xz', ['-dc', path], { maxBuffer: 1 << 26 });
    const all = decode(bytes, undefined, 4096);
    expect(messages(all)).toEqual([]);
    expect(Object.fromEntries(all.decoder.report.byName)).toEqual(counts);
    expect(all.text === bytes.toString()).toBe(true);
    // Every memory payload as the platform's own base64 sees it.
    const lines = bytes.toString().trimEnd().split('\n');
    let at = 0;
    for (const batch of all.batches) {
      for (let i = 0; i < batch.length; i++, at++) {
        if (batch.tag[i] !== REC_TAG.MEMORY) continue;
        const record = JSON.parse(lines[at] ?? '') as { b: string; n: number };
        expect(batch.size[i]).toBe(record.n);
        expect(Buffer.from(batch.payload(i)).equals(Buffer.from(record.b, 'base64'))).toBe(true);
      }
    }
  });
});

describe('spelling', () => {
  it('keeps 64-bit numbers exactly', () => {
    const line = '{"t":"W","a":9007199254740993,"s":8,"v":18446744073709551615,"i":4294967295}\n';
    const all = decode(line);
    expect(all.rows).toEqual([
      'NaN -1 rec.write addr=0x20000000000001 data=0xffffffffffffffff arg0=65544 arg3=4294967295',
    ]);
    expect(all.text).toBe(line);
  });

  it('keeps used rings above 2^53 exactly', () => {
    const all = decode('{"t":"X","d":1,"u":[{"q":0,"used":18446744073709551615,"idx":65535}],"i":1}');
    expect(all.rows).toEqual(['NaN -1 rec.used addr=0xffffffffffffffff arg0=1 arg2=65535 arg3=1']);
  });

  it('keeps unknown members, in their order, whatever they hold', () => {
    const rest =
      '"x":{"a":[1,2.5e300,{"t":"Z"}],"\\u0062":"é\\n"},"y":123456789012345678901234567890,"b":null';
    const line = `{"t":"R","a":1,"s":1,"v":2,"c":3,${rest},"i":9}\n`;
    const all = decode(line);
    expect(messages(all)).toEqual([]);
    expect(all.text).toBe(line);
    expect(all.batches[0]?.rest[0]).toBe(rest);
    expect(all.batches[0]?.vcpu[0]).toBe(3);
  });

  it('takes members in any order and with any space, and writes them canonically', () => {
    const all = decode(' { "i" : 5 ,\t"v":7, "s":4,"a":8, "\\u0074":"R" } \r\n\r\n');
    expect(messages(all)).toEqual([]);
    expect(all.text).toBe('{"t":"R","a":8,"s":4,"v":7,"i":5}\n');
    expect(decode(all.text).text).toBe(all.text);
  });

  it('counts and keeps records of other tags', () => {
    const text = '{"t":"Q","i":3,"z":[]}\n{"t":"long tag"}\n{"i":7,"t":""}\n';
    const all = decode(text);
    expect(all.rows).toEqual([
      'NaN -1 rec.other arg3=3',
      'NaN -1 rec.other arg0=1',
      'NaN -1 rec.other arg0=2 arg3=7',
    ]);
    expect(all.decoder.strings.list).toEqual(['Q', 'long tag', '']);
    expect([...all.decoder.report.byName]).toEqual([
      ['Q', 1],
      ['long tag', 1],
      ['', 1],
    ]);
    expect(all.text).toBe(text);
  });

  it('keeps accesses that nobody saw for the replay, but not as events', () => {
    const text =
      '{"t":"W","a":112,"s":4,"v":0,"synth":true,"i":0}\n{"t":"R","a":8,"s":4,"v":2,"synth":true,"i":1}\n' +
      '{"t":"I","irq":33,"l":1,"i":2}\n';
    const all = decode(text);
    expect(all.rows).toEqual(['NaN -1 rec.irq arg0=33 arg1=1 arg3=2']);
    expect(all.text).toBe(text);
  });

  it('reads U and I records', () => {
    const text = '{"t":"U","d":1,"q":2,"adv":3,"i":4}\n{"t":"I","irq":33,"l":1,"i":5}\n';
    const all = decode(text);
    expect(all.rows).toEqual([
      'NaN -1 rec.kick arg0=1 arg1=2 arg2=3 arg3=4',
      'NaN -1 rec.irq arg0=33 arg1=1 arg3=5',
    ]);
    expect(all.text).toBe(text);
  });

  it('reads a byte order mark and a last line without an end', () => {
    const text = '\uFEFF{"t":"I","irq":33,"l":0,"i":1}';
    expect(decode(text).rows).toHaveLength(1);
    const bytes = new TextEncoder().encode(text);
    expect(accessJsonlFormat.sniff(bytes, new MemorySource('', bytes))).toBe(true);
  });
});

const GOOD = '{"t":"R","a":1,"s":4,"v":0,"i":0}\n';
const N = GOOD.length;

describe('damage', () => {
  it.each([
    ['{"t":"R","a":1,"s":4,"v":0}', N + 26, 'member "i" of a R record', '"}"'],
    [
      '{"t":"R","a":-1,"s":4,"v":0,"i":1}',
      N + 13,
      'a whole number from 0 to 2^64-1 for "a"',
      '"-1,\\"s\\":4,\\"v\\":0,\\"i\\":1}"',
    ],
    ['{"t":"R","a":1.5}', N + 13, 'a whole number from 0 to 2^64-1 for "a"', '"1.5}"'],
    ['{"t":"R","a":1e3}', N + 13, 'a whole number from 0 to 2^64-1 for "a"', '"1e3}"'],
    ['{"t":"R","a":01}', N + 14, "',' or '}'", '"1}"'],
    [
      '{"t":"R","a":18446744073709551616}',
      N + 13,
      'a whole number from 0 to 2^64-1 for "a"',
      '"18446744073709551616}"',
    ],
    ['{"t":"R","a":"1"}', N + 13, 'a whole number from 0 to 2^64-1 for "a"', '"\\"1\\"}"'],
    ['{"t":"R","s":3}', N + 13, 'an access size of 1, 2, 4 or 8', '"3}"'],
    ['{"t":"R","a":1,"a":1}', N + 15, 'each member once', '"\\"a\\":1}"'],
    ['{"t":"R","t":"R"}', N + 9, 'each member once', '"\\"t\\":\\"R\\"}"'],
    ['{"t":7}', N + 5, 'a tag (a string)', '"7}"'],
    ['{"a":7}', N + 6, 'member "t", the tag', '"}"'],
    ['[1]', N, "'{'", '"[1]"'],
    ['{"t":"R"} x', N + 10, 'the end of the line', '"x"'],
    [
      '{"t":"M","a":1,"n":2,"b":"AAAA","i":1}',
      N + 25,
      'base64 of 2 bytes, not of 3',
      '"\\"AAAA\\",\\"i\\":1}"',
    ],
    ['{"t":"M","a":1,"n":3,"b":"AA-A","i":1}', N + 28, 'base64 text', '"-A\\",\\"i\\":1}"'],
    [
      '{"t":"M","a":1,"n":1,"b":"AB==","i":1}',
      N + 26,
      'base64 text without stray bits at its end',
      '"AB==\\",\\"i\\":1}"',
    ],
    ['{"t":"M","a":1,"n":1,"b":"A===","i":1}', N + 27, 'base64 text', '"===\\",\\"i\\":1}"'],
    ['{"t":"M","a":1,"n":1,"b":"AA=","i":1}', N + 25, 'base64 text', '"\\"AA=\\",\\"i\\":1}"'],
    ['{"t":"I","irq":33,"l":2,"i":1}', N + 22, 'a whole number from 0 to 1 for "l"', '"2,\\"i\\":1}"'],
    [
      '{"t":"X","d":0,"u":[{"q":1,"idx":1}],"i":1}',
      N + 20,
      'q, used and idx in every element of u',
      '"{\\"q\\":1,\\"idx\\":1}],\\"i\\":1}"',
    ],
    ['{"t":"X","d":0,"i":1}', N + 20, 'member "u" of a X record', '"}"'],
    ['{"t":"R","x":"\\q"}', N + 15, 'an escape of JSON', '"q\\"}"'],
    ['{"t":"R","x":nul}', N + 13, 'a value', '"nul}"'],
    ['{"t":"Z","x":[1,]}', N + 16, 'a value', '"]}"'],
    ['{"é":"","t":7}', N + 13, 'a tag (a string)', '"7}"'],
    ['NUL\0', N, "'{'", '"NUL\\u0000"'],
  ])('%s', (line, offset, expected, got) => {
    const all = decode(`${GOOD}${line}\n${GOOD}`);
    expect(all.rows).toHaveLength(1);
    expect(messages(all)).toEqual([
      `E_BAD_RECORD test at byte ${offset}: line 2 is not a valid record; expected ${expected}, got ${got}`,
    ]);
    expect(all.text).toBe(GOOD);
  });

  it('refuses bytes that are not UTF-8', () => {
    const all = decode(Buffer.concat([Buffer.from(GOOD), Buffer.from([0x22, 0xff, 10])]));
    expect(messages(all)).toEqual([
      `E_BAD_RECORD test at byte ${N}: line 2 is not a valid record; expected UTF-8 text, got other bytes`,
    ]);
  });

  it('gives all whole records of every prefix, then E_TRUNCATED', () => {
    const bytes = sample('xen-legacy-blk.jsonl').subarray(3000, 6500);
    const text = Buffer.from(bytes.subarray(bytes.indexOf(10) + 1)).toString();
    const whole = decode(text.slice(0, text.lastIndexOf('\n') + 1)).rows;
    for (let n = 0; n <= text.length; n++) {
      const part = text.slice(0, n);
      const { rows, decoder } = decode(part);
      const lines = part.split('\n');
      const last = lines.pop() ?? '';
      const count = lines.length + (last.endsWith('}') ? 1 : 0);
      expect(rows).toEqual(whole.slice(0, count));
      expect(decoder.report.errors.map((e) => e.code)).toEqual(
        last === '' || last.endsWith('}') ? [] : ['E_TRUNCATED'],
      );
    }
  });

  it('bounds depth and line length', () => {
    const deep = `{"t":"Z","x":${'['.repeat(100_000)}`;
    expect(messages(decode(`${deep}\n`))[0]).toContain('expected at most 64 levels');
    const escapes = `{"t":"Z","x":"${'\\n'.repeat(300_000)}"}\n`;
    expect(decode(escapes).text).toBe(escapes);
    const long = decode(`${GOOD}{"t":"Z","x":"${'x'.repeat(17_000_000)}"}\n`);
    expect(long.rows).toHaveLength(1);
    expect(messages(long)[0]).toMatch(/^E_BAD_RECORD test at byte 34: line 2 is too long; expected at most/);
  });

  it('survives any flipped bit: rows before it stay, at most one error, and what is read can be written', () => {
    const bytes = sample('xen-legacy-blk.jsonl').subarray(0, 6000);
    const whole = decode(bytes).rows;
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
        const damaged = Uint8Array.from(bytes);
        damaged[at]! ^= 1 << bit;
        const all = decode(damaged);
        const before = bytes.subarray(0, at).filter((b) => b === 10).length;
        expect(all.rows.slice(0, before)).toEqual(whole.slice(0, before));
        expect(all.decoder.report.errors.length).toBeLessThanOrEqual(1);
        const again = decode(all.text);
        expect(messages(again)).toEqual([]);
        expect(again.text).toBe(all.text);
        expect(again.rows).toEqual(all.rows);
      }),
    );
  });

  it('survives any text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (value) => {
        const all = decode(`${value}\n{"t":"Z","x":${value}}\n`, 16);
        expect(all.decoder.report.errors.length).toBeLessThanOrEqual(1);
        expect(decode(all.text).text).toBe(all.text);
      }),
    );
  });
});

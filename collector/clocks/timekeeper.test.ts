import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SHIFT, timekeeperText, timekeeperWords } from '../../fixtures/exact-clock.ts';
import { HostFindings } from '../host/findings.ts';
import { timekeeper } from '../host/timekeeper.ts';
import { counterLine } from './timekeeper.ts';

const HZ = 62_500_000;
const CLOCK = { counterHz: HZ, offsetTicks: 16_955_021, clockStart: 181_250_123 };
const good = (seconds: number): bigint[] =>
  timekeeperWords(CLOCK, { at: CLOCK.clockStart + Math.round(seconds * HZ) });

function line(samples: readonly (readonly bigint[])[], hz = HZ): string {
  const found = counterLine(samples, hz);
  if (typeof found === 'string') return found;
  return `x * ${found.mult} >> ${found.shift}, 0 at ${-found.constant / found.mult}, ${found.samples} samples`;
}

const TRUE_LINE = `x * ${16n << BigInt(SHIFT)} >> ${SHIFT}, 0 at ${CLOCK.clockStart}`;

describe("the kernel's line from counter to nanoseconds", () => {
  it('is read from samples of any time', () => {
    expect(line([good(0.5), good(7200), good(7200.004)])).toBe(`${TRUE_LINE}, 3 samples`);
  });

  it('is read while the kernel is between its two bases', () => {
    const between = timekeeperWords(CLOCK, {
      at: CLOCK.clockStart + HZ,
      secondAt: CLOCK.clockStart + HZ - 250_000,
    });
    expect(line([between, good(3)])).toBe(`${TRUE_LINE}, 2 samples`);
  });

  it('is found with and without base_real, and behind a longer sequence count', () => {
    const [seq = 0n, ...bases] = good(2);
    const short = [seq, ...bases.slice(0, 6), ...bases.slice(7, 13)];
    const long = [seq, 1n, 2n, 3n, ...bases];
    expect(line([short, short])).toBe(`${TRUE_LINE}, 2 samples`);
    expect(line([long, long])).toBe(`${TRUE_LINE}, 2 samples`);
  });

  const torn = good(5);
  torn[3] = torn[3]! + 77n;
  const doubt: Record<string, [bigint[][], string]> = {
    'one sample': [[good(1)], '1 whole samples (0 torn), at least 2 are needed'],
    'torn samples': [[torn, torn, good(1)], '1 whole samples (2 torn), at least 2 are needed'],
    'a mask of thirteen bits': [
      [good(1), changed(2, 0x1234n)],
      'the words are no struct tk_fast that is known',
    ],
    'a mask that is none': [[good(1), changed(2, 0xf0ffn)], 'the words are no struct tk_fast that is known'],
    'another rate': [
      [good(1), changed(4, (BigInt(SHIFT) << 32n) | 134_500_000n)],
      'the words are no struct tk_fast that is known',
    ],
    'a base that is no whole second': [
      [good(1), changed(6, 1_000_000_001n)],
      'the words are no struct tk_fast that is known',
    ],
    'a clock that was set anew between': [
      [
        good(1),
        timekeeperWords({ ...CLOCK, clockStart: CLOCK.clockStart + 3 }, { at: CLOCK.clockStart + 9 * HZ }),
      ],
      "the kernel's clock was changed between the samples",
    ],
    nothing: [[], '0 whole samples (0 torn), at least 2 are needed'],
  };
  it.each(Object.entries(doubt))('is refused for %s', (_, [samples, why]) => {
    expect(line(samples)).toBe(why);
  });

  it('is refused where it contradicts the frequency of the counter', () => {
    expect(line([good(1), good(2)], 100_000_000)).toBe('the words are no struct tk_fast that is known');
  });

  it('is refused for any other words, and never throws', () => {
    const words = fc.array(fc.bigInt(0n, (1n << 64n) - 1n), { minLength: 0, maxLength: 40 });
    fc.assert(
      fc.property(fc.array(words, { maxLength: 4 }), (samples) => {
        expect(typeof counterLine(samples, HZ)).toBe('string');
      }),
    );
  });

  it('is the same, or refused, whatever single word is wrong', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 14 }), fc.bigInt(0n, (1n << 64n) - 1n), (n, word) => {
        const said = line([good(1), timekeeperWords(CLOCK, { words: { [n]: word } }), good(9)]);
        if (said.startsWith('x *')) expect(said).toContain(TRUE_LINE);
      }),
    );
  });
});

describe('the file of samples', () => {
  const read = (text: string): HostFindings => {
    const into = new HostFindings();
    timekeeper.read?.(text, into, 'timekeeper-before.txt');
    return into;
  };

  it('gives back what was written', () => {
    const samples = [good(1), good(2)];
    const text = timekeeperText(samples);
    expect(timekeeper.sniff(text)).toBe(true);
    expect(read(text).timekeeper).toEqual(samples);
  });

  it('tells why there are none', () => {
    const text = '# tk_fast_raw: the kernel refuses the probe\n';
    expect(timekeeper.sniff(text)).toBe(true);
    expect(read(text).timekeeperRemark).toBe('the kernel refuses the probe');
  });

  it('takes no line whose words are missing, out of order or too many', () => {
    const whole = timekeeperText([good(1)]);
    const wrong = [
      whole.replace(' w3=', ' w4='),
      whole.replace(/ w7=\S+/, ''),
      whole.replace(/ w9=\S+.*/, ''),
      whole.replace(/w14=\S+/, 'w14=0x11112222333344445'),
      whole.replace('\n', ` ${Array.from({ length: 80 }, (_, n) => `w${15 + (n % 80)}=0x0`).join(' ')}\n`),
    ];
    for (const text of wrong) expect(read(text).timekeeper).toEqual([]);
  });
});

function changed(n: number, word: bigint): bigint[] {
  return timekeeperWords(CLOCK, { words: { [n]: word } });
}

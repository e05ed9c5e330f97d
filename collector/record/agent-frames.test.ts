import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isTraceError } from '../../trace/errors.ts';
import type { AgentEvents } from './agent-frames.ts';
import { AgentFrames } from './agent-frames.ts';

const PAGE = 64;
const MARKER = 'end-0123';
const ID = 'ioreqtrace_812_99301';

/** All that was told, pages joined: frames may come in parts. */
class Told implements AgentEvents {
  readonly lines: string[] = [];
  readonly texts = new Map<string, string>();
  private pagesOf = -1;
  private pagesHeld: Buffer[] = [];

  private add(line: string): void {
    this.flush();
    this.lines.push(line);
  }

  flush(): void {
    if (this.pagesHeld.length === 0) return;
    const bytes = Buffer.concat(this.pagesHeld);
    this.pagesHeld = [];
    this.lines.push(`pages ${this.pagesOf} ${bytes.toString('hex')}`);
  }

  pages(cpu: number, bytes: Uint8Array): void {
    expect(bytes.length % PAGE).toBe(0);
    expect(bytes.length).toBeGreaterThan(0);
    if (cpu !== this.pagesOf) this.flush();
    this.pagesOf = cpu;
    this.pagesHeld.push(Buffer.from(bytes));
  }

  text(name: string, text: string): void {
    this.add(`text ${name} ${JSON.stringify(text)}`);
    this.texts.set(name, text);
  }

  identity = (id: string): void => {
    this.add(`identity ${id}`);
  };
  ready = (): void => {
    this.add('ready');
  };
  began = (uptime: number): void => {
    this.add(`began ${uptime}`);
  };
  halted = (uptime: number): void => {
    this.add(`halted ${uptime}`);
  };
  round = (number: number, uptime: number): void => {
    this.add(`round ${number} ${uptime}`);
  };
  stats = (cpu: number, stats: object): void => {
    this.add(`stats ${cpu} ${JSON.stringify(stats)}`);
  };
  buffer = (kib: number): void => {
    this.add(`buffer ${kib}`);
  };
  cut = (): void => {
    this.add('cut');
  };
  processGone = (pid: number): void => {
    this.add(`gone ${pid}`);
  };
  domainGone = (): void => {
    this.add('domain gone');
  };
  warning = (text: string): void => {
    this.add(`warning ${text}`);
  };
  end = (reason: string): void => {
    this.add(`end ${reason}`);
  };
}

function told(chunks: readonly Buffer[]): { lines: string[]; unfinished: number; error?: unknown } {
  const events = new Told();
  const frames = new AgentFrames(events, PAGE, MARKER);
  let error: unknown;
  try {
    for (const chunk of chunks) frames.push(chunk);
  } catch (thrown) {
    error = thrown;
  }
  events.flush();
  const { unfinished } = frames;
  return { lines: events.lines, unfinished, ...(error === undefined ? {} : { error }) };
}

function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length));
}

/** Pages full of what the protocol is made of. */
const TRAP = Buffer.from(`${MARKER}\nE done\nP 0 1\n\n\0`.padEnd(PAGE, 'R'));

const text = (name: string, content: string): string => `T ${name}\n${content}\n${MARKER}\n`;

const RECORDED = Buffer.concat([
  Buffer.from(`I ${ID}\n`),
  Buffer.from(text('tracefs/events/sched/sched_switch/format', 'name: sched_switch\nID: 310\n')),
  Buffer.from(text('kprobe_events.txt', '')),
  Buffer.from(text('saved_cmdlines.txt', '1 init\r\n7 größer\u0000\n\n9 no newline behind')),
  Buffer.from('Y\nG 812.41\nR 1 813.44\nS 0 12 0 900 0\nP 0 2\n'),
  TRAP,
  TRAP,
  Buffer.from('S 1 0 0 0 0\nB 4096\nC\nR 2 814.50\nS 1 5 3 200 1\nP 1 1\n'),
  Buffer.alloc(PAGE, 10),
  Buffer.from('D 4711\nX\nW privcmd: the kernel refuses the probe (Bad argument)\nH 815.02\nE done\n'),
]);

describe('what the script on the host prints', () => {
  it('is told frame by frame', () => {
    const { lines, unfinished, error } = told([RECORDED]);
    expect([error, unfinished]).toEqual([undefined, 0]);
    expect(lines).toEqual([
      `identity ${ID}`,
      'text tracefs/events/sched/sched_switch/format "name: sched_switch\\nID: 310\\n"',
      'text kprobe_events.txt ""',
      'text saved_cmdlines.txt "1 init\\r\\n7 größer\\u0000\\n\\n9 no newline behind"',
      'ready',
      'began 812.41',
      'round 1 813.44',
      'stats 0 {"entries":12,"overrun":0,"bytes":900,"dropped":0}',
      `pages 0 ${TRAP.toString('hex')}${TRAP.toString('hex')}`,
      'stats 1 {"entries":0,"overrun":0,"bytes":0,"dropped":0}',
      'buffer 4096',
      'cut',
      'round 2 814.5',
      'stats 1 {"entries":5,"overrun":3,"bytes":200,"dropped":1}',
      `pages 1 ${'0a'.repeat(PAGE)}`,
      'gone 4711',
      'domain gone',
      'warning privcmd: the kernel refuses the probe (Bad argument)',
      'halted 815.02',
      'end done',
    ]);
  });

  it('is the same however it is cut', () => {
    const { lines } = told([RECORDED]);
    expect(told([...RECORDED].map((byte) => Buffer.of(byte))).lines).toEqual(lines);
    fc.assert(
      fc.property(fc.array(fc.nat({ max: RECORDED.length }), { maxLength: 40 }), (cuts) => {
        expect(told(cutAt(RECORDED, cuts))).toEqual({ lines, unfinished: 0 });
      }),
    );
  });

  it('is kept byte by byte where it is text', () => {
    const line = fc.string({ unit: 'binary', maxLength: 60 });
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), fc.array(fc.nat({ max: 500 })), (parts, cuts) => {
        const content = parts.join('\n');
        const events = new Told();
        const frames = new AgentFrames(events, PAGE, MARKER);
        for (const chunk of cutAt(Buffer.from(text('a/b.txt', content)), cuts)) frames.push(chunk);
        expect(events.texts.get('a/b.txt')).toBe(content);
        expect(frames.unfinished).toBe(0);
      }),
    );
  });

  it('says when it was cut off inside a frame', () => {
    const whole = told([RECORDED]).lines;
    for (let length = 0; length < RECORDED.length; length++) {
      const { lines, error } = told([RECORDED.subarray(0, length)]);
      expect(error).toBeUndefined();
      // A frame of pages may be told in part.
      const last = lines.at(-1);
      expect(whole.slice(0, Math.max(0, lines.length - 1))).toEqual(lines.slice(0, -1));
      if (last !== undefined) expect(whole[lines.length - 1]!.startsWith(last)).toBe(true);
    }
    const page = RECORDED.indexOf('P 0 2\n') + 6;
    expect(told([RECORDED.subarray(0, page)]).unfinished).toBeGreaterThan(0);
    expect(told([RECORDED.subarray(0, page + PAGE)]).unfinished).toBeGreaterThan(0);
    expect(told([RECORDED.subarray(0, page + 2 * PAGE)]).unfinished).toBe(0);
    expect(told([RECORDED.subarray(0, RECORDED.indexOf('ID: 310'))]).unfinished).toBeGreaterThan(0);
  });

  it.each([
    ['an unknown letter', 'Q 1\n'],
    ['nothing', '\n'],
    ['a shell error', 'sh: 3: dd: not found\n'],
    ['letters run together', 'Yes\n'],
    ['a word where there is none', 'Y 1\n'],
    ['a cut of something', 'C 0\n'],
    ['a name that is none', 'I ioreqtrace_1_2/../x\n'],
    ['no time', 'G \n'],
    ['a time with more', 'G 1 2\n'],
    ['a time that is no number', 'R 1 soon\n'],
    ['a round without a time', 'R 1\n'],
    ['a number in hex', 'R 0x1 2\n'],
    ['four numbers of five', 'S 0 1 2 3\n'],
    ['an empty number', 'S 0 1  2 3\n'],
    ['a negative number', 'S 0 -1 2 3 4\n'],
    ['an endless number', 'S 0 Infinity 2 3 4\n'],
    ['a large number', `S 0 ${'9'.repeat(40)} 2 3 4\n`],
    ['no page', 'P 0 0\n'],
    ['a share of a page', 'P 0 1.5\n'],
    ['pages of no CPU', 'P -1 1\n'],
    ['a buffer of nothing', 'B 0\n'],
    ['process 0', 'D 0\n'],
    ['a file outside', 'T ../../etc/passwd\n'],
    ['a file from the root', 'T /etc/passwd\n'],
    ['a file without a name', 'T \n'],
    ['a line without end', 'W '.padEnd(5000, 'w')],
    ['a line too long', `W ${'w'.repeat(5000)}\n`],
    ['a text line without end', `T a.txt\n${'t'.repeat((4 << 20) + 1)}`],
    ['a text too long', `T a.txt\n${'tttttttttttttttt\n'.repeat(1 << 18)}`],
  ])('is refused once, with what came before it told: %s', (_, bad) => {
    const before = Buffer.from(`I ${ID}\nW fine\n`);
    const all = Buffer.concat([before, Buffer.from(bad), Buffer.from('E done\n')]);
    const cuts = bad.length > 1000 ? [[all], cutAt(all, [3000])] : [[all], [...all].map((b) => Buffer.of(b))];
    for (const chunks of cuts) {
      const { lines, error } = told(chunks);
      expect(lines).toEqual([`identity ${ID}`, 'warning fine']);
      expect(isTraceError(error) ? error.code : error).toBe('E_HOST');
    }
  });

  it('is anything at all and nothing is thrown but E_HOST', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 30 }).map((s) => Buffer.from(s)),
      fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)),
      fc.constantFrom('P 0 1\n', 'T x\n', `\n${MARKER}\n`, 'S 0 1 2 3 4\n', 'Y\n').map((s) => Buffer.from(s)),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (chunks) => {
        const { error } = told(chunks);
        if (error !== undefined) expect(isTraceError(error) ? error.code : error).toBe('E_HOST');
      }),
    );
  });

  it('holds no more than a line and a page', () => {
    const frames = new AgentFrames(new Told(), PAGE, MARKER);
    frames.push(Buffer.from('P 3 100000\n'));
    for (let n = 0; n < 500; n++) {
      frames.push(Buffer.alloc(1000 + n, n));
      expect(frames.unfinished).toBeLessThanOrEqual(PAGE + 1);
    }
  });
});

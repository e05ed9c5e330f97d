import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isTraceError } from '../../trace/errors.ts';
import { NO_DISTRIBUTION } from '../report/families.ts';
import type { Distribution, GroupReport, Report } from '../report/document.ts';
import type { Condition } from './condition.ts';
import { evaluate, groupSetsOf, type Figures } from './evaluate.ts';
import { parseCondition } from './parse.ts';

function wrong(text: string): string {
  try {
    parseCondition(text);
  } catch (error) {
    if (isTraceError(error) && error.code === 'E_USAGE') return error.message;
    throw error;
  }
  throw new Error(`${text} was taken`);
}

describe('the language of conditions', () => {
  it.each<[string, Partial<Condition['bound']>, object]>([
    ['mmio.p99 > 200us', { value: 200e3, unit: 'ns', change: null }, { family: 'mmio', part: null }],
    ['mmio . p99>=0.5 ms', { value: 5e5, change: null }, { statistic: 'p99' }],
    ['requests.count < 10', { value: 10, unit: 'number' }, { statistic: 'count' }],
    ['mmio.p99 > +10%', { value: 0.1, unit: 'fraction', change: 'relative' }, {}],
    ['mmio.p50 < -3us', { value: -3e3, unit: 'ns', change: 'difference' }, {}],
    ['mmio.wake->running.share > 30 %', { value: 0.3, change: null }, { part: 'wake→running' }],
    ['mmio.wake→running.share > +5%', { value: 0.05, change: 'difference' }, { statistic: 'share' }],
    ['mmio."wake→running".max > 1s', { value: 1e9 }, { part: 'wake→running' }],
    ['counts.lost > 0', { value: 0, unit: 'number' }, { kind: 'number', path: 'counts.lost' }],
    ['clock.max_error_ns > 2us', { value: 2000, unit: 'ns' }, { path: 'clock.max_error_ns' }],
    ['interrupts.coalesced > +3', { value: 3, change: 'difference' }, { kind: 'number' }],
    ['interrupts.left_out > 0', { value: 0 }, { kind: 'spans', statistic: 'left_out' }],
  ])('%s', (text, bound, figure) => {
    const found = parseCondition(text);
    expect(found.bound).toMatchObject(bound);
    expect(found.figure).toMatchObject(figure);
  });

  it('takes names with anything in quotes', () => {
    const { figure } = parseCondition('mmio[ device = "a \\"b\\\\ ]>" , register=QueueNotify ].p99 > 1us');
    expect(figure.kind === 'spans' && [...figure.filter]).toEqual([
      ['device', 'a "b\\ ]>'],
      ['register', 'QueueNotify'],
    ]);
  });

  it.each<[string, number, string]>([
    ['mmio.p99 > 200xs', 15, 'a unit: ns, us, ms, s'],
    ['mmio.p99 > 200', 15, 'a unit: ns, us, ms, s'],
    ['mmio.p99 200us', 10, 'one of >, >=, <, <='],
    ['mmoi.p99 > 2us', 1, 'a path'],
    ['mmio.p98 > 2us', 6, 'one of count'],
    ['mmio > 2us', 6, 'a dot and a statistic'],
    ['mmio.a.b.p99 > 2us', 8, 'a comparison'],
    ['mmio[device=blk0 .p99 > 2us', 18, '] or a comma'],
    ['mmio[device="blk0].p99 > 2us', 13, 'a closing quote'],
    ['mmio[shoe=1].p99 > 2us', 6, 'one of device'],
    ['mmio[vcpu=1,vcpu=2].p99 > 2us', 13, 'each key once'],
    ['injection[vcpu=1].p99 > 2us', 1, 'a family that has groups'],
    ['mmio.p99 > 10%', 14, 'a sign'],
    ['mmio.x.share > 10us', 18, '%'],
    ['counts.lost > 0us', 16, 'no unit'],
    ['counts.constructor > 0', 1, 'a path'],
    ['mmio.p99 > 1us or 2', 16, 'nothing more'],
    ['mmio.p99 > 1.2.3us', 12, 'a number'],
    ['', 1, 'a family'],
  ])('%j is wrong at character %i', (text, at, expected) => {
    expect(wrong(text)).toContain(`wrong at character ${at}; expected ${expected}`);
  });

  it('is read or refused at a character of it, whatever it is', () => {
    const word = fc.constantFrom(
      'mmio',
      '.p99',
      '[',
      ']',
      'device=',
      '"',
      '\\',
      '>',
      '+',
      '1',
      '%',
      'us',
      ' ',
      '→',
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(word).map((w) => w.join('')),
    );
    fc.assert(
      fc.property(text, (t) => {
        try {
          parseCondition(t);
        } catch (error) {
          expect(isTraceError(error) && error.code).toBe('E_USAGE');
          const at = Number(/wrong at character (\d+); expected/.exec((error as Error).message)?.[1]);
          expect(at).toBeGreaterThanOrEqual(1);
          expect(at).toBeLessThanOrEqual(t.length + 1);
        }
      }),
      { numRuns: 500 },
    );
  });
});

const of = (count: number, p99: number | null): Distribution => ({
  ...NO_DISTRIBUTION,
  count,
  p50_ns: 10,
  p99_ns: p99,
});

function figures(count: number, p99: number | null, groups: GroupReport[] = []): Figures {
  const family = {
    total: of(count, p99),
    stages: [],
    left_out: [
      { why: 'x', count: 4 },
      { why: 'y', count: 3 },
    ],
  };
  const report = {
    counts: { lost: 2, vgic_deliveries: null },
    mmio: { ...family, staged: of(0, null), in_kernel: of(0, null) },
    interrupts: { injection: null },
  } as unknown as Report;
  return { report, groups };
}

const group = (by: GroupReport['by'], p99: number): GroupReport => ({
  by,
  family: 'mmio',
  total: of(500, p99),
  stages: [],
  left_out: [],
});

const check = (text: string, b: Figures, a?: Figures): string => {
  const { result, found } = evaluate(parseCondition(text), b, a);
  return [result, ...found.map((f) => f.why).filter((w) => w !== '')].join(': ');
};

describe('conditions', () => {
  it('fail if they hold', () => {
    expect(check('mmio.p99 > 99ns', figures(500, 100))).toBe('failed');
    expect(check('mmio.p99 > 100ns', figures(500, 100))).toBe('passed');
    expect(check('mmio.p99 >= 100ns', figures(500, 100))).toBe('failed');
    expect(check('mmio.count < 501', figures(500, 100))).toBe('failed');
    expect(check('counts.lost > 2', figures(500, 100))).toBe('passed');
    expect(check('mmio.left_out > 6', figures(500, 100))).toBe('failed');
  });

  it('do not pass without a figure', () => {
    expect(check('mmio.p99 > 1s', figures(99, 100))).toBe('missing: only 99 values; p99 takes 100 at least');
    expect(check('mmio.p999 > 1s', figures(999, 100))).toContain('missing: only 999 values');
    expect(check('mmio.x.p99 > 1s', figures(500, 100))).toBe('missing: no such stage; there are none');
    expect(check('mmio[vcpu=1].p99 > 1s', figures(500, 100))).toBe('missing: there is no such group');
    expect(check('injection.p99 > 1s', figures(500, 100))).toBe('missing: not in this trace');
    expect(check('counts.vgic_deliveries > 1', figures(500, 100))).toBe('missing: the report has none');
  });

  it('are of the change where they have a sign', () => {
    const [a, b] = [figures(500, 100), figures(500, 111)];
    expect(check('mmio.p99 > +10%', b, a)).toBe('failed');
    expect(check('mmio.p99 > +11%', b, a)).toBe('passed');
    expect(check('mmio.p99 > +10ns', b, a)).toBe('failed');
    expect(check('mmio.p99 < -10%', a, b)).toBe('passed');
    expect(check('mmio.p99 > 110ns', b, a)).toBe('failed');
    expect(check('mmio.p99 > +10%', b, figures(50, 100))).toContain('missing: in A: only 50 values');
    expect(check('mmio.p99 > +10%', b, figures(500, 0))).toBe('missing: in A it is 0: no share of it');
  });

  it('are checked on every group that they name', () => {
    const groups = [
      group({ register: 'Status', direction: 'read' }, 50),
      group({ register: 'Status', direction: 'write' }, 150),
      group({ device: 'blk0', register: 'Status', direction: 'write' }, 999),
    ];
    expect(check('mmio[register=Status].p99 > 100ns', figures(500, 1, groups))).toBe('failed');
    expect(check('mmio[register=Status,direction=read].p99 > 100ns', figures(500, 1, groups))).toBe('passed');
    const { found } = evaluate(parseCondition('mmio[register=Status].p99 > 100ns'), figures(500, 1, groups));
    expect(found.map((f) => [f.group, f.result])).toEqual([
      ['Status read', 'passed'],
      ['Status write', 'failed'],
    ]);
    const conditions = ['mmio[direction=read,register=Status].p99 > 1s', 'mmio[register=ID].p50 > 1s'];
    expect(groupSetsOf(conditions.map(parseCondition))).toEqual([{ family: 'mmio', by: ['register'] }]);
  });
});

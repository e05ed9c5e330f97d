import { describe, expect, it } from 'vitest';
import { isTraceError } from '../../../trace/errors.ts';
import type { LiveDevice } from './latency.ts';
import { checkTriggers, parseTrigger } from './trigger.ts';

function messageOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (isTraceError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'no error';
}

describe('parseTrigger', () => {
  it('reads subject, device, comparison and duration', () => {
    const short = (text: string): unknown[] =>
      parseTrigger(text).map((t) => [t.subject, t.device, t.orEqual, t.ns]);
    expect(short('mmio > 2ms')).toEqual([['mmio', undefined, false, 2e6]]);
    expect(short('irq>500us')).toEqual([['irq', undefined, false, 5e5]]);
    expect(short('request >= 10 ms')).toEqual([['request', undefined, true, 1e7]]);
    expect(short('mmio(blk0) > 2ms, irq( net1 )>=1.5 s,request>7µs')).toEqual([
      ['mmio', 'blk0', false, 2e6],
      ['irq', 'net1', true, 1.5e9],
      ['request', undefined, false, 7e3],
    ]);
    expect(short('mmio > .5μs,mmio > 3 ns')).toEqual([
      ['mmio', undefined, false, 500],
      ['mmio', undefined, false, 3],
    ]);
    expect(parseTrigger(' mmio > 2ms ')[0]?.text).toBe('mmio > 2ms');
  });

  it('says what is wrong, and where', () => {
    const texts = [
      '',
      'mmio > 2ms,',
      'io > 2ms',
      '> 2ms',
      'mmio',
      'mmio < 2ms',
      'mmio => 2ms',
      'mmio(blk0 > 2ms',
      'mmio() > 2ms',
      'mmio(a b) > 2ms',
      'mmio >',
      'mmio > fast',
      'mmio > -2ms',
      'mmio > 2',
      'mmio > 2 min',
      'mmio > 2ms 3',
      'mmio > 0ms',
      'mmio > 99999999999s',
      'mmio > 2constructor',
    ];
    expect(texts.map((t) => `${t} | ${messageOf(() => parseTrigger(t))}`).join('\n')).toMatchInlineSnapshot(`
      " | E_USAGE: a trigger is empty; expected one such as 'mmio > 2ms', 'irq > 500us' or 'request(blk0) >= 10 ms', got ""
      mmio > 2ms, | E_USAGE: a trigger is empty; expected one such as 'mmio > 2ms', 'irq > 500us' or 'request(blk0) >= 10 ms', got "mmio > 2ms,"
      io > 2ms | E_USAGE: trigger 'io > 2ms' watches nothing known; expected mmio, irq or request, got io
      > 2ms | E_USAGE: trigger '> 2ms' watches nothing known; expected mmio, irq or request, got nothing
      mmio | E_USAGE: trigger 'mmio' compares with nothing; expected '>' or '>=', got nothing
      mmio < 2ms | E_USAGE: trigger 'mmio < 2ms' compares with nothing; expected '>' or '>=', got <
      mmio => 2ms | E_USAGE: trigger 'mmio => 2ms' compares with nothing; expected '>' or '>=', got =>
      mmio(blk0 > 2ms | E_USAGE: trigger 'mmio(blk0 > 2ms' names no device; expected a ')' behind it, got (blk0 > 2ms
      mmio() > 2ms | E_USAGE: trigger 'mmio() > 2ms' names no device; expected one such as blk0, got ""
      mmio(a b) > 2ms | E_USAGE: trigger 'mmio(a b) > 2ms' names no device; expected one such as blk0, got "a b"
      mmio > | E_USAGE: trigger 'mmio >' has no duration; expected a number and a unit such as 2ms, got nothing
      mmio > fast | E_USAGE: trigger 'mmio > fast' has no duration; expected a number and a unit such as 2ms, got fast
      mmio > -2ms | E_USAGE: trigger 'mmio > -2ms' has no duration; expected a number and a unit such as 2ms, got -2ms
      mmio > 2 | E_USAGE: trigger 'mmio > 2' has no duration; expected the unit ns, us, µs, ms or s, got 2 without a unit
      mmio > 2 min | E_USAGE: trigger 'mmio > 2 min' has no duration; expected the unit ns, us, µs, ms or s, got min
      mmio > 2ms 3 | E_USAGE: trigger 'mmio > 2ms 3' has no duration; expected a number and a unit such as 2ms, got 2ms 3
      mmio > 0ms | E_USAGE: trigger 'mmio > 0ms' has no duration; expected one above 0 and below 104 days, got 0ms
      mmio > 99999999999s | E_USAGE: trigger 'mmio > 99999999999s' has no duration; expected one above 0 and below 104 days, got 99999999999s
      mmio > 2constructor | E_USAGE: trigger 'mmio > 2constructor' has no duration; expected the unit ns, us, µs, ms or s, got constructor"
    `);
  });

  it('knows the devices', () => {
    const devices: LiveDevice[] = [{ name: 'blk0', kind: 'blk', base: 0x2000000, spi: 33 }];
    checkTriggers(parseTrigger('mmio(blk0) > 2ms, irq > 1ms'), devices);
    expect(
      messageOf(() => {
        checkTriggers(parseTrigger('mmio(blk1) > 2ms'), devices);
      }),
    ).toMatchInlineSnapshot(
      `"E_USAGE: trigger 'mmio(blk1) > 2ms' names a device that the domain has not; expected blk0, got blk1"`,
    );
    expect(
      messageOf(() => {
        checkTriggers(parseTrigger('mmio(blk1) > 2ms'), []);
      }),
    ).toContain('expected no device');
  });
});

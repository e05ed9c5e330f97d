import { describe, expect, it } from 'vitest';
import { fromHash, INITIAL, toHash, type ViewState } from './state.ts';

describe('the URL hash', () => {
  it('holds the whole view', () => {
    const state: ViewState = {
      tab: 'timeline',
      side: 1,
      family: 'request',
      window: { lo: 1000, hi: 2000 },
      brush: { time: { lo: 1100, hi: 1200 }, latency: { lo: 5, hi: 900 } },
      latency: { lo: 100, hi: 9000 },
      linear: true,
      groups: ['0', '1:80:0'],
      selected: 42,
      span: { lo: 5, hi: 70 },
      lanes: ['dm', 'v1', 'q65536'],
      colourBy: 'size',
      divergence: 3,
      outliersBy: 'popped→used',
      flameWeight: 'stalled',
      flameUp: true,
      flameInverted: true,
      theme: 'dark',
      limit: 2_000_000,
      pins: [{ t: 1234, name: 'here & <b>there</b> = 5' }],
    };
    expect(fromHash(`#${toHash(state)}`)).toEqual(state);
    expect(toHash(INITIAL)).toBe('');
  });

  it.each([
    '',
    '#',
    '#f=x&w=5-1&b=1-2&g=<img>&s=-3&t=pink&c=z',
    '#w=a-b&s=1e99',
    '#y=9-3&n=2',
    '#y=-5-900',
    '#q=dm__v1&h=pink&r=-1',
    '#q=<b>&r=0.5',
    '#%%%',
  ])('ignores %s', (hash) => {
    const state = fromHash(hash);
    expect({ ...state, selected: null }).toEqual(INITIAL);
  });
});

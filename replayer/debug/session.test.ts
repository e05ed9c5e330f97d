import { createHash } from 'node:crypto';
import { serialize } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { BuiltinTarget } from '../targets/builtin.ts';
import { memoryWrites } from './memory-writes.ts';
import { DebugSession } from './session.ts';
import { diffStates } from './state-diff.ts';
import { legacy, legacyPresent, legacyText, withWrongRead } from './testing/legacy.ts';

/** Everything that a position holds: device state, and all memory that the recording has written to in the end. */
function stateOf(session: DebugSession): string {
  const { target } = session;
  if (!(target instanceof BuiltinTarget)) throw new Error('the built-in target is needed');
  const hash = createHash('sha256').update(serialize(target.save()));
  for (const { gpa, length } of memoryWrites(session.steps, 0, session.steps.count))
    hash.update(target.view(gpa, length));
  return hash.digest('hex');
}

async function opened(text?: string): Promise<DebugSession> {
  const { recording, newRun } = legacy(text);
  return DebugSession.open(recording, newRun);
}

describe.skipIf(!legacyPresent())('a debugged replay', () => {
  it('comes to the same state forwards in one go, step by step and backwards', async () => {
    const session = await opened();
    // Behind the notify of a write, with its completion under way.
    const middle = session.steps.positionOf(220) + 1;
    await session.goTo(middle);
    const straight = stateOf(session);
    const end = session.steps.count;
    await session.goTo(end);
    const last = stateOf(session);
    await session.goTo(middle);
    expect(stateOf(session)).toBe(straight);
    await session.stepBack(3);
    expect(stateOf(session)).not.toBe(straight);
    for (let i = 0; i < 3; i++) await session.step();
    expect(stateOf(session)).toBe(straight);
    while (!session.atEnd) await session.step();
    expect(stateOf(session)).toBe(last);
    expect(await session.finish()).toMatchObject({ equal: true });
    // What is compared at the end may be asked for again.
    expect(await session.finish()).toMatchObject({ equal: true });
    await session.close();
  });

  it('stops right behind a read that differs, also at the far end of a leap, and finds it backwards', async () => {
    const clean = await opened();
    const reads = [...clean.steps.step].filter((_, k) => clean.steps.write[k] === 0);
    await clean.close();
    for (const step of [reads[0]!, reads[40]!, reads.at(-1)!]) {
      const session = await opened(withWrongRead(legacyText(), step));
      const stop = await session.forward();
      expect(stop).toMatchObject({ why: 'divergence', divergence: { step, kind: 'register' } });
      const behind = session.steps.positionOf(step) + 1;
      expect(session.position).toBe(behind);
      expect(await session.forward()).toEqual({ why: 'end' });
      if (!session.atEnd || behind === session.steps.count) continue;
      expect(await session.backward()).toMatchObject({ why: 'divergence', divergence: { step } });
      expect(session.position).toBe(behind);
      expect(await session.finish()).toMatchObject({ equal: false });
      await session.close();
    }
  });

  it('passes divergences when told not to stop there', async () => {
    const session = await opened(withWrongRead(legacyText(), 0));
    session.catchDivergences = false;
    expect(await session.forward()).toEqual({ why: 'end' });
    expect(session.divergences).toHaveLength(1);
    await session.close();
  });

  it('meets breakpoints on requests both ways, at the same places', async () => {
    const session = await opened();
    session.addBreakpoint('blk0 queue 0 if type == write && sector >= 8000');
    const forwards: number[] = [];
    while ((await session.forward()).why === 'breakpoint') forwards.push(session.position);
    expect(forwards.length).toBeGreaterThan(1);
    for (const position of forwards) {
      await session.goTo(position);
      const [chain] = await session.chains();
      expect(chain?.request?.type).toBe(1);
      expect(chain?.request?.sector).toBeGreaterThanOrEqual(8000);
    }
    await session.goTo(session.steps.count);
    const backwards: number[] = [];
    while ((await session.backward()).why === 'breakpoint') backwards.push(session.position);
    expect(backwards).toEqual([...forwards].reverse());
    expect(session.position).toBe(0);
    await session.close();
  });

  it('names every request of the recording as the recorder did', async () => {
    const session = await opened();
    const recorded = [...legacyText().matchAll(/"h":\{"ty":(\d+),"sec":(\d+)\}/g)].map(([, type, sector]) =>
      [type, sector].join(),
    );
    const seen: string[] = [];
    for (;;) {
      const stop = await session.forward({ id: 0, ...session.parse('QueueNotify write') });
      if (stop.why === 'end') break;
      for (const { request } of await session.chains()) seen.push([request?.type, request?.sector].join());
    }
    expect(seen.length).toBe(30);
    // A flush has no sector that means anything.
    expect(seen.map((one) => one.split(',')[0]).sort()).toEqual(
      recorded.map((one) => one.split(',')[0]).sort(),
    );
    expect(seen.filter((one) => /^[01],/.test(one)).sort()).toEqual(
      recorded.filter((one) => /^[01],/.test(one)).sort(),
    );
    await session.close();
  });

  it('tells what memory a request changed', async () => {
    const session = await opened();
    await session.forward({ id: 0, ...session.parse('blk0 queue 0 if type == read') });
    const from = session.position;
    const [chain] = await session.chains();
    const data = chain!.chain!.in[0]!;
    const { memory, fields } = await diffStates(session, from, from + 2);
    expect(session.position).toBe(from);
    const stretch = memory.find(
      ({ gpa, length }) => gpa >= data.gpa && gpa + length <= data.gpa + data.length,
    );
    expect(stretch?.by).toBe('device');
    expect(stretch?.before).not.toEqual(stretch?.after);
    expect(fields.map(({ path }) => path)).toContain('blk0.queue 0.used.idx');
    const written = await diffStates(session, from + 2, from);
    expect(written.fields.length).toBe(fields.length);
    await session.close();
  });

  it('stops where memory was written, and at a step', async () => {
    const session = await opened();
    await session.forward({ id: 0, ...session.parse('QueueNotify write') });
    const [chain] = await session.chains();
    const { gpa } = chain!.chain!.in.at(-1)!;
    const at = session.position;
    await session.goTo(0);
    session.addBreakpoint(`memory 0x${gpa.toString(16)}+1`);
    expect((await session.forward()).why).toBe('breakpoint');
    expect(session.position).toBe(at + 1);
    const step = session.steps.step[at]!;
    expect(await session.backward({ id: 0, ...session.parse(String(step)) })).toMatchObject({
      why: 'breakpoint',
    });
    expect(session.position).toBe(at);
    await session.close();
  });

  it.each([
    ['blk9.QueueNotify', 'blk0'],
    ['blk0.Nothing', 'QueueNotify'],
    ['blk0 queue x', 'queue N'],
    ['memory here', 'ADDRESS'],
    ['memory 0x10+4', 'nothing in the recording'],
    ['99999999', 'at most'],
    ['', 'a step'],
    ['blk0.QueueNotify sideways', 'read, write'],
    ['blk0.QueueNotify if sektor == 1', 'sector'],
    ['QueueNotify if (value == 1', ')'],
  ])('refuses the breakpoint %j and says what could stand there', async (text, expected) => {
    const session = await opened();
    expect(() => session.addBreakpoint(text)).toThrow(expect.objectContaining({ code: 'E_USAGE' }));
    expect(() => session.addBreakpoint(text)).toThrow(expected);
    expect(session.breakpoints).toEqual([]);
    await session.close();
  });

  it('ends a run when it is interrupted, and goes on from there', async () => {
    const reads = Array.from(
      { length: 5000 },
      (_, n) => `{"t":"R","a":33554544,"s":4,"v":7,"i":${10_000 + n}}\n`,
    );
    const session = await opened(legacyText() + reads.join(''));
    session.interrupted = true;
    expect(await session.forward()).toEqual({ why: 'interrupted' });
    expect(session.position).toBeGreaterThan(0);
    expect(session.position).toBeLessThan(1000);
    session.interrupted = false;
    expect(await session.forward()).toEqual({ why: 'end' });
    expect(session.divergences).toEqual([]);
    await session.close();
  });
});

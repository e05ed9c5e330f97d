import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeSmallTrace } from '../../fixtures/small-trace.ts';
import { EventBatch } from '../columns.ts';
import { TraceError } from '../errors.ts';
import { FORMAT_VERSION } from '../manifest.ts';
import { openTrace } from '../open.ts';
import { UPGRADERS } from './index.ts';
import type { JsonObject, Upgrader } from './upgrade.ts';
import { upgrade } from './upgrade.ts';

/** A version 0 that never was: domid had another name, and times were in halves of a tick. */
const FROM_0: Upgrader = {
  from: 0,
  title: 'domid instead of guest; ts in ticks instead of half ticks',
  manifest({ guest, ...rest }: JsonObject): JsonObject {
    return { ...rest, domid: guest };
  },
  batch(old) {
    const batch = new EventBatch(old.length);
    Object.assign(batch, old);
    return Object.assign(batch, { ts: old.ts.map((ts) => ts / 2), length: old.length });
  },
};

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ioreq-trace-upgrade-'));
  writeSmallTrace(dir, [4, 2]);
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

function edit(change: (manifest: JsonObject) => JsonObject): void {
  const path = join(dir, 'manifest.json');
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')) as JsonObject)));
}

function failure(action: () => unknown): TraceError {
  try {
    action();
  } catch (error) {
    if (error instanceof TraceError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('older versions', () => {
  it('are read through the chain, manifest and batches', () => {
    edit(({ ...manifest }) => ({ ...manifest, version: 0, guest: 5 }));
    const trace = openTrace(dir, [FROM_0]);
    expect(trace.writtenAs).toBe(0);
    expect(trace.manifest).toMatchObject({ version: FORMAT_VERSION, domid: 5 });
    const ts = [...trace.source('xen').batches()].flatMap((batch) => [...batch.ts]);
    expect(ts).toEqual([0.25, 0.75, 1.25, 1.75, 2.25, 2.75]);
  });

  it('go through several steps in order', () => {
    const step = (from: number): Upgrader => ({
      from,
      title: String(from),
      manifest: (old) => ({ ...old, steps: [...(old['steps'] as number[]), from] }),
    });
    const result = upgrade(
      { format: 'ioreq-trace', version: 1, steps: [] },
      'm',
      [step(2), step(1), step(3)],
      4,
    );
    expect(result.manifest).toEqual({ format: 'ioreq-trace', version: 4, steps: [1, 2, 3] });
    expect(result.batch).toBeUndefined();
  });

  it('without a step are refused, saying which can be read', () => {
    edit((manifest) => ({ ...manifest, version: 0 }));
    const error = failure(() => openTrace(dir));
    expect(error.code).toBe('E_TRACE_VERSION');
    expect(error.message).toContain('version 0 cannot be read any more; expected version 1 to 1, got 0');
  });

  it('have an unbroken chain in this release', () => {
    expect(UPGRADERS.map((step) => step.from)).toEqual(
      UPGRADERS.map((_, i) => FORMAT_VERSION - UPGRADERS.length + i),
    );
  });
});

describe('newer versions', () => {
  it('are refused whatever else they hold', () => {
    writeFileSync(join(dir, 'manifest.json'), '{"format":"ioreq-trace","version":99}');
    const error = failure(() => openTrace(dir));
    expect([error.code, error.exitCode]).toEqual(['E_TRACE_VERSION', 5]);
    expect(error.message).toContain('written by a newer ioreq-trace');
    expect(error.message).toContain('got 99');
  });
});

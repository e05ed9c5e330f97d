import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { counterOffsets } from '../../fixtures/exact-clock.ts';
import { boardShells, switchPlan, thisHost, whyNoTracing, withShell } from '../../fixtures/this-host.ts';
import { parseRecordingFile } from '../../trace/recording-facts.ts';
import { drainArgs, xentraceArgs } from '../probes/xentrace-buffers.ts';
import { LocalTransport } from '../transports/local.ts';
import { lookForPoints } from './look-for-points.ts';
import type { RecordOptions } from './record.ts';
import { record } from './record.ts';
import { XentraceStream } from './xentrace-stream.ts';

const noTracing = whyNoTracing();
if (noTracing !== undefined) console.warn(`SKIPPED: what Xen told, in a recording: ${noTracing}`);
const work = mkdtempSync(join(tmpdir(), 'ioreq-xentrace-'));
const local = new LocalTransport();
const { shells, remove } = boardShells();
afterAll(async () => {
  await local.close();
  remove();
  rmSync(work, { recursive: true, force: true });
});

/**
 * A program that does what xentrace does, as far as it is seen from outside (tools/xentrace/xentrace.c): tracing on,
 * with -D what is in the buffers then is discarded, records to stdout until SIGTERM, tracing off.
 */
function fakeXen(
  name: string,
  options: { old?: Uint8Array; told?: Uint8Array; fails?: string; size?: number; wantsFile?: true },
): {
  path: string;
  ran: () => string[];
  tracing: () => boolean;
} {
  const dir = mkdtempSync(join(work, `${name}-`));
  const path = join(dir, 'xentrace');
  const { old, told, fails, size = 0, wantsFile } = options;
  writeFileSync(join(dir, 'buffer'), old ?? new Uint8Array());
  writeFileSync(join(dir, 'told'), told ?? new Uint8Array());
  writeFileSync(
    path,
    `#!/bin/sh
cd ${dir}; echo "$*" >>ran
${fails === undefined ? '' : `echo ${fails} >&2; exit 1`}
touch tracing; last=
for a; do last=$a; done
case "$*" in *0x0001f000*) ;; *) cat told >>buffer;; esac
case "$*" in *-D*) : >buffer;; esac
trap 'rm -f tracing; exit 0' TERM
case "$*" in
  *-T\\ 1*) cat buffer >"$last"; : >buffer; sleep 0.2; rm -f tracing; exit 0;;
esac
${wantsFile ? `case $last in /*) exec >"$last";; *) echo Usage: xentrace; exit 1;; esac` : ''}
cat buffer; : >buffer
while :; do sleep 0.1; done
`,
  );
  chmodSync(path, 0o755);
  const messages = size === 0 ? '' : `(XEN) xentrace: tb_set_size from ${size} to 256 not implemented`;
  writeFileSync(join(dir, 'xl'), `#!/bin/sh\necho '${messages}'\n`);
  chmodSync(join(dir, 'xl'), 0o755);
  return {
    path,
    ran: () => readFileSync(join(dir, 'ran'), 'utf8').trim().split('\n'),
    tracing: () => existsSync(join(dir, 'tracing')),
  };
}

const OLD = new Uint8Array(Buffer.from('left by another'));
const TOLD = counterOffsets({ 0: 24_209_817n }, 1000);

describe("xentrace's output", { concurrent: true }, () => {
  it.each(shells)(
    'begins with what Xen tells when tracing begins, and with nothing older, with $name',
    async (shell) => {
      const xen = fakeXen('begin', { old: OLD, told: TOLD });
      const parts: Uint8Array[] = [];
      const warnings: string[] = [];
      const plan = {
        path: xen.path,
        args: xentraceArgs(0xb9000, 256),
        drain: drainArgs(256),
        pages: 256,
        mask: 0xb9000,
      };
      const stream = new XentraceStream(withShell(local, shell), plan, 'none', {
        xen: (bytes) => parts.push(bytes),
        warning: (text) => warnings.push(text),
      });
      expect(await stream.start()).toBeUndefined();
      expect(xen.tracing()).toBe(true);
      await stream.stop();
      expect(xen.tracing()).toBe(false);
      expect(Buffer.concat(parts)).toEqual(Buffer.from(TOLD));
      expect(xen.ran()).toEqual(['-D -e 0x0001f000 -S 256 -T 1 /dev/null', '-e 0x000b9000 -S 256']);
      expect([stream.tracePoints(), stream.points.dom0Offset, warnings]).toEqual(['all', 24_209_817n, []]);
    },
  );

  it.each(shells)(
    'comes also from one that insists on a file name (up to 4.17), with $name',
    async (shell) => {
      const xen = fakeXen('file', { told: TOLD, wantsFile: true });
      const parts: Uint8Array[] = [];
      const plan = {
        path: xen.path,
        args: xentraceArgs(0xb9000, 256, '4.17.5'),
        drain: drainArgs(256),
        pages: 256,
        mask: 0xb9000,
      };
      const stream = new XentraceStream(withShell(local, shell), plan, 'none', {
        xen: (bytes) => parts.push(bytes),
        warning: () => undefined,
      });
      expect(await stream.start()).toBeUndefined();
      await stream.stop();
      expect(xen.tracing()).toBe(false);
      expect(Buffer.concat(parts)).toEqual(Buffer.from(TOLD));
      expect(xentraceArgs(0xb9000, 256, '4.18.0')).toEqual(xentraceArgs(0xb9000, 256));
    },
  );

  it('says which size the buffers keep if another was asked for', async () => {
    const xen = fakeXen('size', { size: 32 });
    const warnings: string[] = [];
    const plan = {
      path: xen.path,
      args: xentraceArgs(0x39000, 256),
      drain: drainArgs(256),
      pages: 256,
      mask: 0x39000,
    };
    const stream = new XentraceStream(local, plan, 'none', {
      xen: () => undefined,
      warning: (text) => warnings.push(text),
    });
    expect(await stream.start()).toBeUndefined();
    await stream.stop();
    expect(warnings.join()).toMatch(
      /have 32 pages for each CPU since their first use.*: 256 were asked for$/,
    );
    expect(stream.tracePoints()).toBeUndefined();
  });

  it('is refused with the reason of xentrace itself', async () => {
    const xen = fakeXen('fails', { fails: 'Permission denied' });
    const plan = {
      path: xen.path,
      args: xentraceArgs(0x39000, 256),
      drain: drainArgs(256),
      pages: 256,
      mask: 0x39000,
    };
    const nothing = { xen: () => undefined, warning: () => undefined };
    expect(await new XentraceStream(local, plan, 'none', nothing).start()).toBe('Permission denied');
  });
});

describe.skipIf(noTracing !== undefined)('what Xen told', { concurrent: true }, () => {
  it.each<[string, Partial<RecordOptions>]>([
    ['files', {}],
    ['a flight recording', { flight: { bytes: 1 << 20, triggers: [], count: 1, afterMs: 100 } }],
  ])('stands in the trace: %s', async (name, options) => {
    const xen = fakeXen('record', { told: TOLD });
    const xentrace = {
      path: xen.path,
      args: xentraceArgs(0xb9000, 256),
      drain: drainArgs(256),
      pages: 256,
      mask: 0xb9000,
    };
    const dir = join(work, name.replaceAll(' ', '-'));
    const { sealed } = await record(local, thisHost(), switchPlan({ xentrace, hooks: ['sched', 'points'] }), {
      dir,
      tool: { name: 'test', version: '1' },
      durationMs: 1500,
      keepRaw: true,
      ...options,
    });
    expect(sealed[0]!.manifest.recording?.tracePoints).toBe('all');
    const noted = parseRecordingFile(readFileSync(join(dir, 'raw/recording.json'), 'utf8'), 'recording.json');
    expect([noted.tracePoints, noted.dom0Offset]).toEqual(['all', '24209817']);
    expect(xen.tracing()).toBe(false);
  });
});

describe('a look for the trace points', { concurrent: true }, () => {
  it.each([
    [TOLD, 'all'],
    [undefined, 'none'],
  ] as const)('finds %o: %s, and leaves tracing off', async (told, found) => {
    const xen = fakeXen('look', { old: OLD, ...(told === undefined ? {} : { told }) });
    expect(await lookForPoints(local, { path: xen.path, running: [] })).toBe(found);
    expect(xen.tracing()).toBe(false);
    expect(xen.ran()).toEqual(['-D -e 0x0001f000 -S 256 -T 1 /dev/null', '-e 0x00088000 -S 256']);
  });

  it('never touches the recording of somebody else', async () => {
    const xen = fakeXen('other', {});
    const found = await lookForPoints(local, { path: xen.path, running: [77] });
    expect(found).toEqual({ why: 'xentrace runs already (process 77)' });
    expect(() => xen.ran()).toThrow();
  });
});

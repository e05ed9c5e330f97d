import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { PassThrough } from 'node:stream';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { captureArchive } from '../../fixtures/captures.ts';
import type { DrainedPages } from '../../fixtures/live-rounds.ts';
import { cutRounds, spanOf } from '../../fixtures/live-rounds.ts';
import { switchPlan, thisHost } from '../../fixtures/this-host.ts';
import { isTraceError } from '../../trace/errors.ts';
import { openTrace } from '../../trace/open.ts';
import type { HostView } from '../probes/host-view.ts';
import type { RecordPlan } from '../probes/plan.ts';
import type { CommandResult, HostProcess, HostTransport } from '../transports/transport.ts';
import { MEASURE } from './live/latency.ts';
import { parseTrigger } from './live/trigger.ts';
import type { LiveWatch } from './live/watch.ts';
import type { RecordResult } from './record.ts';
import { record } from './record.ts';

const archive = captureArchive('P1');
if (archive === undefined)
  console.warn('SKIPPED: the flight recorder on a real capture: capture P1 is not here');

const work = mkdtempSync(join(tmpdir(), 'ioreq-flight-'));
const capture = join(work, 'P1');
const ROUNDS = 24;
let rounds: DrainedPages[][] = [];
let first = 0n;
let step = 0n;

beforeAll(() => {
  if (archive === undefined) return;
  execFileSync('tar', ['xf', archive, '-C', work]);
  const cpus = [0, 1].map((cpu) => readFileSync(join(capture, `cpu${cpu}.raw`)));
  const spans = cpus.map(spanOf);
  first = spans[0]![0] < spans[1]![0] ? spans[0]![0] : spans[1]![0];
  const last = spans[0]![1] > spans[1]![1] ? spans[0]![1] : spans[1]![1];
  step = (last - first) / BigInt(ROUNDS);
  const drains = Array.from({ length: ROUNDS }, (_, r) =>
    [0, 1].map((cpu) => ({ cpu, at: first + step * BigInt(r + 1) })),
  );
  rounds = cutRounds(cpus, drains);
}, 60_000);
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

/**
 * A host on which the capture happens again: what the script there would print, in rounds of a second that pass as
 * fast as they are read.
 */
class PlayedHost implements HostTransport {
  readonly name = 'board';
  readonly local = false;
  readonly lost = new Promise<string>(() => undefined);
  private cutAsked = false;
  private over = false;

  stream(script: string): Promise<HostProcess> {
    const marker = /^MARK=(.*)$/m.exec(script)![1]!;
    const [stdin, stdout] = [new PassThrough(), new PassThrough()];
    const text = (name: string, file: string): void => {
      stdout.write(`T ${name}\n${readFileSync(join(capture, file), 'utf8')}\n${marker}\n`);
    };
    stdout.write('I ioreqtrace_77_1\n');
    for (const name of readdirSync(join(capture, 'tracefs'), { recursive: true, encoding: 'utf8' })) {
      if (statSync(join(capture, 'tracefs', name)).isFile()) text(`tracefs/${name}`, `tracefs/${name}`);
    }
    text('trace_clock.txt', 'trace_clock.txt');
    text('kprobe_events.txt', 'kprobe_events.txt');
    stdout.write('Y\n');
    stdin.on('end', () => (this.over = true));
    stdin.on('data', (line: Buffer) => {
      if (line.toString() === 'go\n') void this.play(stdout, text);
      else this.cutAsked = true;
    });
    const ended = new Promise<{ code: number; lost: boolean }>((resolve) => {
      stdout.on('end', () => {
        resolve({ code: 0, lost: false });
      });
    });
    return Promise.resolve({ stdin, stdout, ended, stderrTail: () => '', kill: () => stdout.end() });
  }

  private async play(out: PassThrough, text: (name: string, file: string) => void): Promise<void> {
    const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 3));
    out.write(`G ${this.uptime(0)}\n`);
    for (const [r, round] of rounds.entries()) {
      if (this.over) break;
      out.write(`R ${r + 1} ${this.uptime(r + 1)}\n`);
      for (const { cpu, bytes } of round) {
        out.write(`S ${cpu} 1 0 ${bytes.length} 0\n`);
        if (bytes.length === 0) continue;
        out.write(`P ${cpu} ${bytes.length / 4096}\n`);
        out.write(Buffer.from(bytes));
      }
      if (this.cutAsked) out.write('C\n');
      this.cutAsked = false;
      while (out.readableLength > 0) await pause();
      await pause();
    }
    out.write(`H ${this.uptime(ROUNDS + 1)}\n`);
    text('saved_cmdlines.txt', 'saved_cmdlines.txt');
    if (!this.over) out.write('D 272\n');
    out.end('E done\n');
  }

  /** /proc/uptime when the round began. */
  private uptime(round: number): string {
    return (Number(first + step * BigInt(round)) / 1e9).toFixed(2);
  }

  run(): Promise<CommandResult> {
    return Promise.resolve({ stdout: '', stderr: '', code: 0 });
  }
  connect(): Promise<Duplex> {
    return Promise.reject(new Error('no sockets here'));
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

function host(): { view: HostView; plan: RecordPlan } {
  const tids = readFileSync(join(capture, 'qemu-tids.txt'), 'utf8').trim().split('\n').map(parseFloat);
  const view = thisHost([
    {
      pid: tids[0]!,
      startTime: '1',
      name: 'qemu',
      kind: 'qemu',
      commandLine: '',
      threads: tids.map((tid) => ({ tid, name: 'qemu' })),
      ioreqPages: [],
      by: 'command line',
      irqs: [],
      maps: '',
    },
  ]);
  view.domain.domid = 1;
  view.devices = [{ kind: 'blk', base: 0x2000000, spi: 33, backend: '' }];
  return { view, plan: switchPlan({ domid: 1, pids: [tids[0]!], cpus: [0, 1] }) };
}

interface Flown extends RecordResult {
  dir: string;
  /** Absolute Dom0 time of the end of each ioreq of more than `ns`, in order. */
  hits: bigint[];
}

let count = 0;
async function fly(
  size: number,
  trigger: string,
  options: { count?: number; afterMs?: number } = {},
): Promise<Flown> {
  const { view, plan } = host();
  const dir = join(work, `f${count++}`);
  const triggers = parseTrigger(trigger);
  const ends: number[] = [];
  let watch: LiveWatch | undefined;
  const result = await record(new PlayedHost(), view, plan, {
    dir,
    tool: { name: 'ioreq-trace', version: '0' },
    keepRaw: true,
    flight: { bytes: size, triggers, count: options.count ?? 1, afterMs: options.afterMs ?? 0 },
    started: (_, live) => {
      watch = live;
    },
    latencies: {
      latency(measure, _start, end, ns) {
        if (measure === MEASURE.DOM0 && ns > triggers[0]!.ns) ends.push(end);
      },
      until: () => undefined,
    },
  });
  const from = (watch as unknown as { feed: { dom0Epoch?: bigint } | undefined }).feed?.dom0Epoch ?? 0n;
  return { ...result, dir, hits: ends.map((end) => from + BigInt(Math.round(end))) };
}

function rawBytes(dir: string): number {
  return [0, 1]
    .map((cpu) => join(dir, `raw/cpu${cpu}.raw`))
    .reduce((sum, path) => sum + (existsSync(path) ? statSync(path).size : 0), 0);
}

/** First and last time of a trace, by Dom0's clock. */
function spanOfTrace(dir: string): [bigint, bigint] {
  const spans = [0, 1]
    .map((cpu) => join(dir, `raw/cpu${cpu}.raw`))
    .filter((path) => existsSync(path))
    .map((path) => spanOf(readFileSync(path)));
  return [
    spans.map(([from]) => from).reduce((a, b) => (a < b ? a : b)),
    spans.map(([, to]) => to).reduce((a, b) => (a > b ? a : b)),
  ];
}

async function code(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return isTraceError(error) ? error.code : `not a TraceError: ${String(error)}`;
}

const SIZE = 1 << 20;

describe.skipIf(archive === undefined)('the flight recorder on a real capture', () => {
  it('writes what lies around the first trigger, and no more than its size', async () => {
    // Late enough that the ring has let go of the beginning by then.
    const all = await fly(64 << 20, 'mmio > 1000s');
    const { manifest } = openTrace(all.dir);
    expect([all.end.reason, all.sealed.length, manifest.recording?.triggered]).toEqual([
      'deviceModel',
      1,
      undefined,
    ]);
    expect(rawBytes(all.dir)).toBeGreaterThan(6 << 20);
    const flown = await fly(SIZE, 'mmio > 300us');
    expect(flown.end.reason).toBe('trigger');
    expect(flown.end.detail).toMatch(/^mmio > 300us: (blk0 )?(vCPU 0 )?took \d+\.\d{3} ms$/);
    const sealed = openTrace(flown.dir).manifest;
    expect([sealed.complete, sealed.recording?.state]).toEqual([true, 'trigger']);
    expect(sealed.sources[0]!.rows).toBeGreaterThan(100);
    expect(sealed.sources[0]!.errors).toEqual([]);
    expect(rawBytes(flown.dir)).toBeLessThanOrEqual(SIZE);
    const [from, to] = spanOfTrace(flown.dir);
    expect(flown.hits[0]! >= from && flown.hits[0]! <= to).toBe(true);
  });

  it('goes on for some time behind the trigger', async () => {
    const soon = await fly(16 << 20, 'mmio > 300us');
    const late = await fly(16 << 20, 'mmio > 300us', { afterMs: Number(step) / 1e6 + 4000 });
    expect(spanOfTrace(late.dir)[1] > spanOfTrace(soon.dir)[1]).toBe(true);
    expect(spanOfTrace(late.dir)[0]).toBe(spanOfTrace(soon.dir)[0]);
  });

  it('gives a trace for each of several triggers, none holding what another has', async () => {
    const { dir, end, sealed } = await fly(SIZE, 'mmio > 100us', { count: 2 });
    expect([end.reason, sealed.length]).toEqual(['trigger', 2]);
    expect(readdirSync(dir).sort()).toEqual(['trigger-1', 'trigger-2']);
    for (const cpu of [0, 1]) {
      const spans = ['trigger-1', 'trigger-2']
        .map((name) => join(dir, name, `raw/cpu${cpu}.raw`))
        .filter((path) => existsSync(path))
        .map((path) => spanOf(readFileSync(path)));
      if (spans.length === 2) expect(spans[1]![0] >= spans[0]![1]).toBe(true);
    }
    for (const name of readdirSync(dir)) {
      expect(openTrace(join(dir, name)).manifest.complete).toBe(true);
      expect(rawBytes(join(dir, name))).toBeLessThanOrEqual(SIZE);
    }
  });

  it('writes the end if no trigger fires', async () => {
    const { dir, end, sealed } = await fly(SIZE, 'irq > 1000s', { count: 2 });
    expect([end.reason, end.detail, sealed.length]).toEqual(['deviceModel', 'process 272 ended', 1]);
    const trace = join(dir, 'trigger-1');
    expect(openTrace(trace).manifest.ended).toBe('the device model is gone (process 272 ended)');
    expect(rawBytes(trace)).toBeLessThanOrEqual(SIZE);
    expect(rawBytes(trace)).toBeGreaterThan(SIZE / 2);
    const last = rounds.flat().filter(({ bytes }) => bytes.length > 0);
    const end_ = last.map(({ bytes }) => spanOf(bytes)[1]).reduce((a, b) => (a > b ? a : b));
    expect(spanOfTrace(trace)[1]).toBe(end_);
  });

  it('refuses a device that is not there and a size that is too small, and leaves nothing', async () => {
    expect(await code(fly(SIZE, 'mmio(net0) > 1ms'))).toBe('E_USAGE');
    expect(await code(fly(1000, 'mmio > 1ms'))).toBe('E_USAGE');
    expect(existsSync(join(work, `f${count - 1}`))).toBe(false);
  });
});

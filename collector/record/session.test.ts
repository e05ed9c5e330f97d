import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildForChild, removeBuild } from '../../fixtures/child-build.ts';
import {
  TRACEFS,
  boardShells,
  switchPlan,
  thisHost,
  tracesOfRecorders,
  whyNoTracing,
  withShell,
} from '../../fixtures/this-host.ts';
import { isTraceError } from '../../trace/errors.ts';
import { openTrace } from '../../trace/open.ts';
import type { RecordPlan } from '../probes/plan.ts';
import { LocalTransport } from '../transports/local.ts';
import type { HostTransport } from '../transports/transport.ts';
import { agentScript } from './agent.ts';
import { removeLeftovers } from './cleanup.ts';
import { FileSink } from './file-sink.ts';
import { sealIfNeeded } from './open-recording.ts';
import { RawFiles } from './raw-files.ts';
import type { RecordOptions } from './record.ts';
import { record } from './record.ts';
import type { SessionEnd } from './session.ts';
import { RecordSession } from './session.ts';

const why = whyNoTracing();
if (why !== undefined) console.warn(`SKIPPED: recording on this machine's own kernel: ${why}`);

const TOOL = { name: 'ioreq-trace', version: '0' };
const { shells, remove } = boardShells();
for (const name of ['dash', 'busybox']) {
  if (!shells.some((shell) => shell.name === name)) console.warn(`SKIPPED: recording with ${name}: not here`);
}
const work = mkdtempSync(join(tmpdir(), 'ioreq-session-'));
const local = new LocalTransport();
let build = '';
beforeAll(() => {
  if (why === undefined) build = buildForChild(['trace', 'collector', 'fixtures']);
}, 60_000);
afterAll(async () => {
  await local.close();
  if (build !== '') removeBuild(build);
  remove();
  rmSync(work, { recursive: true, force: true });
});

let count = 0;
function fresh(): string {
  return join(work, `t${count++}`);
}

/** Records on this machine; `act` once recording runs. */
async function recorded(
  host: HostTransport,
  plan: RecordPlan,
  options: Partial<RecordOptions>,
  act?: (session: RecordSession) => void,
): Promise<{ dir: string; end: SessionEnd; rows: number; lost: number; warnings: string[] }> {
  const dir = fresh();
  const { end, sealed } = await record(host, thisHost(), plan, {
    dir,
    tool: TOOL,
    ...options,
    started: (session) => {
      if (act !== undefined) setTimeout(act, 600, session);
    },
  });
  const { manifest, errors } = sealed[0]!;
  expect(errors).toEqual([]);
  const [source] = manifest.sources;
  expect([source!.format, sealed.length]).toEqual(['ftrace-pages', 1]);
  const { rows, lost } = source!;
  return { dir, end, rows, lost, warnings: manifest.warnings };
}

async function until(what: () => boolean, ms = 15_000): Promise<void> {
  const end = Date.now() + ms;
  while (!what() && Date.now() < end) await sleep(50);
  expect(what()).toBe(true);
}

/** What of a recorder is on this machine. */
function ofRecorder(id: string): string[] {
  return tracesOfRecorders().filter((path) => path.endsWith(`/${id}`));
}

function alive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

describe('the script on the host', () => {
  it.each(shells)('takes counters that wrapped below 0 for 0, with $name', async (shell) => {
    const dir = join(work, `stats-${shell.name}`);
    mkdirSync(join(dir, 'per_cpu/cpu0'), { recursive: true });
    const text =
      'entries: 18446744073709551615\noverrun: 7\nbytes: 18446744073709551000\ndropped events: 3\n';
    writeFileSync(join(dir, 'per_cpu/cpu0/stats'), text);
    const stats = /^stats\(\) \{[\s\S]*?^\}/m.exec(agentScript(switchPlan(), 'mark'))![0];
    const script = `I=${dir}\n${stats}\nstats 0; echo $entries $overrun $bytes $dropped`;
    expect((await withShell(local, shell).run(script)).stdout).toBe('0 7 0 3\n');
  });
});

describe("the reading of the kernel's clock", () => {
  const body = (name: string): string =>
    new RegExp(`^${name}\\(\\) \\{[\\s\\S]*?^\\}`, 'm').exec(agentScript(switchPlan(), 'mark'))![0];
  const sample = `put() { printf '%s\\n' "$2" >"$I/$1"; } 2>/dev/null
text() { printf 'T %s\\n' "$1"; cat "$2"; printf '\\nmark\\n'; }
now() { echo x >>$RUN/readings; }
${body('sample')}`;
  const words = Array.from({ length: 15 }, (_, n) => `w${n}=0x${n}`).join(' ');
  const trace = `# tracer: nop
              sh-1497    [001] d....   430.807526: clock: (uptime_proc_show+0x0/0x1a0) ${words}
    a: clock: b-14   [001] dN...   430.869345: clock: (uptime_proc_show+0x0/0x1a0) ${words}
`;

  it.each(shells)('prints the words alone, and leaves the buffer empty, with $name', async (shell) => {
    const dir = join(work, `clock-${shell.name}`);
    mkdirSync(join(dir, 'events/id/clock'), { recursive: true });
    writeFileSync(join(dir, 'trace'), trace);
    const script = `I=${dir} RUN=${dir} ID=id noclock=\n${sample}\nsample timekeeper-before.txt`;
    const { stdout } = await withShell(local, shell).run(script.replaceAll('\\n', '\n'));
    expect(stdout).toBe(`T timekeeper-before.txt\ntk_fast_raw ${words}\ntk_fast_raw ${words}\n\nmark\n`);
    const left = (name: string): string => readFileSync(join(dir, name), 'utf8');
    expect(['trace', 'events/id/clock/enable', 'tracing_on', 'readings'].map(left)).toEqual([
      '',
      '0\n',
      '0\n',
      'x\nx\nx\nx\n',
    ]);
    const { stdout: second } = await withShell(local, shell).run(`I=${dir} RUN=${dir} ID=id noclock=
${sample}
sample timekeeper-after.txt`);
    expect(second).toBe('T timekeeper-after.txt\n# tk_fast_raw: the probe gave nothing\n\nmark\n');
  });
});

describe.skipIf(why !== undefined)('recording on this kernel', { concurrent: true }, () => {
  it.each(shells)('records, seals and leaves nothing, with $name', async (shell) => {
    const host = withShell(local, shell);
    let id: string[] = [];
    const before = new Set(tracesOfRecorders());
    const { dir, end, rows } = await recorded(host, switchPlan(), { durationMs: 1500 }, () => {
      id = tracesOfRecorders().filter((path) => !before.has(path));
    });
    expect(end).toEqual({ reason: 'duration' });
    expect(rows).toBeGreaterThan(20);
    expect(id.length).toBeGreaterThan(1);
    const mine = id.filter((path) => path.includes('/instances/ioreqtrace_'));
    expect(mine.length).toBeGreaterThan(0);
    const { manifest } = openTrace(dir);
    expect([manifest.complete, manifest.ended]).toEqual([true, 'the time asked for was over']);
    expect(existsSync(join(dir, 'raw'))).toBe(false);
  });

  // This kernel may have no kprobes, or no such variable: either way there is a file, and a recording.
  it("goes on without the kernel's clock, and notes why", async () => {
    const definition = 'p:@GROUP@/clock uptime_proc_show w0=@no_such_variable+0:x64';
    const plan = switchPlan({ timekeeper: { definition } });
    const { dir, rows } = await recorded(local, plan, { durationMs: 1200, keepRaw: true });
    expect(rows).toBeGreaterThan(10);
    const noted = readFileSync(join(dir, 'raw/timekeeper-before.txt'), 'utf8');
    expect(noted).toBe('# tk_fast_raw: the kernel refuses the probe\n');
    expect(existsSync(join(dir, 'raw/timekeeper-after.txt'))).toBe(false);
    expect(openTrace(dir).manifest.unknownFiles.join()).not.toContain('timekeeper');
  });

  it.each(shells)('grows its buffers and counts what was lost, with $name', async (shell) => {
    // Two tasks that wake each other thousands of times a second fill 16 KiB again and again.
    const busy = spawn(
      'sh',
      ['-c', 'exec dd if=/dev/zero bs=1 count=100000000 2>/dev/null | cat >/dev/null'],
      {
        detached: true,
        stdio: 'ignore',
      },
    );
    try {
      const plan = switchPlan({
        bufferKib: 16,
        bufferMaxKib: 64,
        events: [{ hook: 'sched', event: 'sched/sched_switch', filter: '' }],
      });
      let kib = 0;
      const { end, rows, lost, dir } = await recorded(
        withShell(local, shell),
        plan,
        { keepRaw: true },
        (session) => {
          void (async () => {
            await until(() => session.status.rounds >= 4 || session.status.bufferKib > 16);
            kib = session.status.bufferKib;
            session.stop('interrupted');
          })();
        },
      );
      expect(end).toEqual({ reason: 'interrupted' });
      expect([32, 64]).toContain(kib);
      expect(rows).toBeGreaterThan(100);
      expect(lost).toBeGreaterThan(0);
      const stats = plan.cpus.map((cpu) => readFileSync(join(dir, 'raw', `cpu${cpu}.stats`), 'utf8'));
      const overrun = stats.map((text) => Number(/^overrun: (\d+)/m.exec(text)?.[1]));
      expect(lost).toBe(overrun.reduce((sum, n) => sum + n, 0));
    } finally {
      process.kill(-busy.pid!, 'SIGKILL');
    }
  });

  it('ends when a process that it follows ends', async () => {
    const followed = spawn('sleep', ['2']);
    const { end } = await recorded(local, switchPlan({ pids: [process.pid, followed.pid!] }), {
      durationMs: 30_000,
    });
    expect(end).toEqual({ reason: 'deviceModel', detail: `process ${followed.pid} ended` });
  });

  it('says what the kernel refuses and records the rest', async () => {
    const sched = { hook: 'sched', event: 'sched/sched_waking', filter: 'no_such_field==1' } as const;
    const plan = switchPlan({ events: [...switchPlan().events, sched] });
    const { rows, warnings } = await recorded(local, plan, { durationMs: 1200 });
    expect(rows).toBeGreaterThan(0);
    expect(warnings).toContain('sched/sched_waking: its filter was refused: not recorded');
  });

  it.each([
    ['a clock', { clock: 'sundial' }, 'the trace clock sundial was refused'],
    ['tracefs', { tracefs: '/proc' }, 'no trace instance can be made'],
    ['the buffers', { bufferKib: 0 }, 'no memory for trace buffers of 0 KiB a CPU'],
  ])('is refused before anything is switched on: %s', async (_, change, message) => {
    const dir = fresh();
    const before = tracesOfRecorders().filter((path) => !/ioreqtrace_\d/.test(path));
    const failure: unknown = await record(local, thisHost(), switchPlan(change), { dir, tool: TOOL }).catch(
      (error: unknown) => error,
    );
    expect(isTraceError(failure) ? `${failure.code} ${failure.message}` : failure).toContain(
      `E_HOST this host: ${message}`,
    );
    expect(existsSync(dir)).toBe(false);
    expect(tracesOfRecorders().filter((path) => !/ioreqtrace_\d/.test(path))).toEqual(before);
  });

  it('ends when the disk runs full', async () => {
    class FullSink extends FileSink {
      override pages(): void {
        // What a full disk does to a file: /dev/full is one.
        new RawFiles('/dev').append('full', Buffer.alloc(4096));
      }
    }
    const dir = fresh();
    const session = new RecordSession(local, switchPlan(), [], new FullSink(new RawFiles(dir)));
    const end = await session.run(20_000);
    expect(end.reason).toBe('disk');
    expect(end.detail).toContain('/dev/full: cannot be written (ENOSPC)');
  });
});

const noMounts = spawnSync('unshare', ['--mount', 'true']).status !== 0;
if (noMounts) console.warn('SKIPPED: recording to a small disk: no mount namespace can be made');

describe.skipIf(why !== undefined || noMounts)('recording to a small disk', () => {
  it('ends while there is room to seal what was recorded', () => {
    const main = join(build, 'small-disk.js');
    const dir = fresh();
    mkdirSync(dir);
    writeFileSync(
      main,
      `import { record } from './collector/record/record.js';
import { LocalTransport } from './collector/transports/local.js';
import { switchPlan, thisHost } from './fixtures/this-host.js';
const plan = switchPlan({ events: [{ hook: 'sched', event: 'sched/sched_switch', filter: '' }] });
const { end, sealed } = await record(new LocalTransport(), thisHost(), plan, {
  dir: ${JSON.stringify(join(dir, 'out'))}, tool: { name: 't', version: '0' }, durationMs: 20000,
});
const { complete, ended, sources } = sealed[0].manifest;
console.log(JSON.stringify([end.reason, complete, ended.slice(0, 16), sources[0].rows > 0]));
`,
    );
    // 16 MiB are kept back for sealing: of 16.5 MiB little is left to record.
    const mounted = `mount -t tmpfs -o size=16896k none ${dir} && exec ${process.execPath} ${main}`;
    const { stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', mounted], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual(['disk', true, 'the disk is full', true]);
  });
});

interface Child {
  process: ChildProcess;
  dir: string;
  /** Of the recorder's shell: its name, its pid. */
  id: string;
  shell: number;
}

/** A recorder in a process of its own, once it records. */
async function startChild(): Promise<Child> {
  const dir = fresh();
  const main = join(build, `main-${count}.js`);
  writeFileSync(
    main,
    `import { record } from './collector/record/record.js';
import { LocalTransport } from './collector/transports/local.js';
import { switchPlan, thisHost } from './fixtures/this-host.js';
const plan = { ...switchPlan(), pids: [] };
await record(new LocalTransport(), thisHost(), plan, { dir: ${JSON.stringify(dir)}, tool: { name: 't', version: '0' } });
`,
  );
  const child = spawn(process.execPath, [main], { stdio: ['ignore', 'ignore', 'inherit'] });
  const found = { id: '' };
  await until(() => {
    // The recorder's shell is a child of that process.
    for (const name of readdirSync(`${TRACEFS}/instances`)) {
      const shell = /^ioreqtrace_(\d+)_/.exec(name)?.[1];
      if (shell !== undefined && parentOf(Number(shell)) === child.pid) found.id = name;
    }
    return found.id !== '';
  });
  await until(() => existsSync(join(dir, 'raw/cpu0.raw')));
  return { process: child, dir, id: found.id, shell: Number(found.id.split('_')[1]) };
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined;
  }
}

describe.skipIf(why !== undefined)('a recorder that is killed', { concurrent: true }, () => {
  it('is undone by its shell, and its trace is sealed by the next who opens it', async () => {
    const child = await startChild();
    expect(ofRecorder(child.id)).toHaveLength(2);
    const busy: unknown = await sealIfNeeded(child.dir, TOOL).catch((error: unknown) => error);
    expect(isTraceError(busy) ? busy.code : busy).toBe('E_HOST_BUSY');
    child.process.kill('SIGKILL');
    await until(() => !alive(child.shell));
    expect(ofRecorder(child.id)).toEqual([]);
    const sealed = await sealIfNeeded(child.dir, TOOL);
    expect(sealed?.manifest.sources[0]!.rows).toBeGreaterThan(0);
    expect(sealed?.manifest.ended).toBe('the recorder died before it could seal the trace');
    expect(readdirSync(child.dir).filter((name) => name.startsWith('.') || name === 'raw')).toEqual([]);
    expect(await sealIfNeeded(child.dir, TOOL)).toBeUndefined();
  });

  it('ends in order when its shell alone is killed', async () => {
    const child = await startChild();
    process.kill(child.shell, 'SIGKILL');
    const code = await new Promise((resolve) => child.process.once('exit', resolve));
    expect(code).toBe(0);
    expect(openTrace(child.dir).manifest.ended).toMatch(/^recording on the host failed/);
    const removed = await removeLeftovers(local, TRACEFS, undefined);
    expect(removed.map(({ id }) => id)).toContain(child.id);
    expect(ofRecorder(child.id)).toEqual([]);
  });

  it('with its shell is undone by the next, who touches nobody else', async () => {
    const [dead, living] = await Promise.all([startChild(), startChild()]);
    const foreign = [
      `${TRACEFS}/instances/ioreqtrace_1_x${process.pid}`,
      `${TRACEFS}/instances/my_${process.pid}`,
    ];
    for (const path of foreign) mkdirSync(path);
    try {
      process.kill(dead.process.pid!, 'SIGKILL');
      process.kill(dead.shell, 'SIGKILL');
      await until(() => !alive(dead.shell));
      expect(ofRecorder(dead.id)).toHaveLength(2);
      const removed = await removeLeftovers(local, TRACEFS, undefined);
      const mine = removed.find(({ id }) => id === dead.id);
      expect(mine).toEqual({ id: dead.id, what: ['trace instance', 'run folder'] });
      expect(removed.map(({ id }) => id)).not.toContain(living.id);
      expect(ofRecorder(dead.id)).toEqual([]);
      expect(foreign.map((path) => existsSync(path))).toEqual([true, true]);
      expect(ofRecorder(living.id)).toHaveLength(2);
      expect(readFileSync(`${TRACEFS}/instances/${living.id}/tracing_on`, 'utf8')).toBe('1\n');
    } finally {
      for (const path of foreign) await rmdir(path);
      living.process.kill('SIGKILL');
    }
    await until(() => ofRecorder(living.id).length === 0);
  });
});

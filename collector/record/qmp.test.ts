import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isTraceError } from '../../trace/errors.ts';
import type { DeviceModelView } from '../probes/host-view.ts';
import { connectUnix, LocalTransport } from '../transports/local.ts';
import { QemuEvents, switchOffNoted } from './qemu-events.ts';
import { QmpClient } from './qmp.ts';
import type { RecordSink } from './sink.ts';

const QEMU = ['qemu-system-aarch64', 'qemu-system-arm'].find((name) => existsSync(`/usr/bin/${name}`));
const isRoot = process.getuid?.() === 0;
if (QEMU === undefined) console.warn('SKIPPED: QEMU monitor: no qemu-system-aarch64 or -arm here');
else if (!isRoot) console.warn("SKIPPED: QEMU's trace events: the recorder's folder in /run needs root");

const work = mkdtempSync(join(tmpdir(), 'ioreq-qmp-'));
const host = new LocalTransport();
const running: ChildProcess[] = [];
const servers: Server[] = [];
afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  for (const server of servers) server.close();
  await host.close();
  rmSync(work, { recursive: true, force: true });
});

let count = 0;

async function message(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return isTraceError(error) ? `${error.code} ${error.message}` : `not a TraceError: ${String(error)}`;
}

interface Qemu {
  model: DeviceModelView;
  /** A second monitor. */
  other: string;
  child: ChildProcess;
}

/** A socket's name is there a moment before anybody listens. */
async function listening(path: string): Promise<void> {
  for (let n = 0; n < 200; n++) {
    const stream = await connectUnix(path, path).catch(() => undefined);
    if (stream !== undefined) {
      stream.destroy();
      return;
    }
    await sleep(50);
  }
}

async function startQemu(): Promise<Qemu> {
  const n = count++;
  const [socket, other, log] = [`q${n}.sock`, `o${n}.sock`, `q${n}.log`].map((name) => join(work, name));
  const child = spawn(
    QEMU!,
    [
      ...['-M', 'none', '-nodefaults', '-display', 'none', '-D', log!],
      ...['-qmp', `unix:${socket!},server=on,wait=off`, '-qmp', `unix:${other!},server=on,wait=off`],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  running.push(child);
  for (let n = 0; n < 200 && !existsSync(log!); n++) await sleep(50);
  for (const path of [socket!, other!]) await listening(path);
  const model: DeviceModelView = {
    pid: child.pid!,
    startTime: '1',
    name: 'qemu',
    kind: 'qemu',
    commandLine: '',
    threads: [],
    ioreqPages: [],
    by: 'command line',
    irqs: [],
    qmpSocket: socket!,
    traceLog: log!,
    maps: '',
  };
  return { model, other: other!, child };
}

class Log implements RecordSink {
  lines = '';
  readonly warnings: string[] = [];
  readonly rawBytes = 0;
  readonly nearlyFull = false;
  pages(): void {
    throw new Error('no pages here');
  }
  text(): void {
    throw new Error('no texts here');
  }
  xen(): void {
    throw new Error('no xentrace here');
  }
  round(): void {
    throw new Error('no rounds here');
  }
  log(bytes: Uint8Array): void {
    this.lines += Buffer.from(bytes).toString();
  }
  warning(text: string): void {
    this.warnings.push(text);
  }
}

/** Names of QEMU's trace events that are on. */
async function eventsOn(socket: string): Promise<string[]> {
  const client = await QmpClient.open(await connectUnix(socket, socket), socket);
  const states = (await client.execute('trace-event-get-state', { name: '*' })) as {
    name: string;
    state: string;
  }[];
  client.close();
  return states
    .filter(({ state }) => state === 'enabled')
    .map(({ name }) => name)
    .sort();
}

async function setEvent(socket: string, name: string, enable: boolean): Promise<void> {
  const client = await QmpClient.open(await connectUnix(socket, socket), socket);
  await client.execute('trace-event-set-state', { name, enable });
  client.close();
}

/** A folder as a recorder's shell makes it. */
function runFolder(): { id: string; dir: string } {
  const id = `ioreqtrace_${process.pid}_${900 + count++}`;
  const dir = `/run/ioreq-trace/${id}`;
  mkdirSync(dir, { recursive: true });
  return { id, dir };
}

describe.skipIf(QEMU === undefined || !isRoot)("a QEMU's trace events", { concurrent: true }, () => {
  it('are on while it is recorded, come from its log, and are then as they were', async () => {
    const { model, other } = await startQemu();
    const { id, dir } = runFolder();
    await setEvent(other, 'virtio_set_status', true);
    await setEvent(other, 'handle_qmp_command', true);
    const before = await eventsOn(other);
    expect(before).toEqual(['handle_qmp_command', 'virtio_set_status']);
    expect(readFileSync(model.traceLog!, 'utf8')).toContain('handle_qmp_command');
    const sink = new Log();
    const events = await QemuEvents.start(host, model, id, sink);
    if (typeof events === 'string') throw new Error(events);
    const during = await eventsOn(other);
    expect(during).toEqual(expect.arrayContaining(['virtqueue_pop', 'virtio_notify', 'virtio_set_status']));
    expect(during).not.toContain('qmp_job_cancel');
    // What is switched on stands where the next can find it, and only that.
    const note = readFileSync(join(dir, `qmp-${model.pid}`), 'utf8')
      .trim()
      .split('\n');
    const noted = note.map((line) => line.split('\t'));
    expect(noted.every(([socket]) => socket === model.qmpSocket)).toBe(true);
    const names = noted.map(([, name]) => name);
    expect(names).toContain('virtqueue_pop');
    expect(names).not.toContain('virtio_set_status');
    await sleep(300);
    await events.stop();
    expect(sink.warnings).toEqual([]);
    // From the log's end on, so that what stood there before is not of this recording.
    expect(sink.lines).toContain('handle_qmp_command');
    expect(readFileSync(model.traceLog!, 'utf8')).toContain(sink.lines);
    expect(sink.lines.length).toBeLessThan(readFileSync(model.traceLog!, 'utf8').length);
    expect(await eventsOn(other)).toEqual(before);
    expect(existsSync(dir)).toBe(false);
  });

  it('of two device models are noted apart', async () => {
    const [one, two] = [await startQemu(), await startQemu()];
    const { id, dir } = runFolder();
    const sink = new Log();
    const both = [
      await QemuEvents.start(host, one.model, id, sink),
      await QemuEvents.start(host, two.model, id, sink),
    ];
    const [first, second] = both.map((events) => {
      if (typeof events === 'string') throw new Error(events);
      return events;
    });
    await first!.stop();
    // Had the recorder died here, the next one would find what is on still.
    expect(readdirSync(dir)).toEqual([`qmp-${two.model.pid}`]);
    await second!.stop();
    expect([sink.warnings, existsSync(dir)]).toEqual([[], false]);
  });

  it('leave nothing behind when QEMU ends first', async () => {
    const { model, child } = await startQemu();
    const { id, dir } = runFolder();
    const sink = new Log();
    const events = await QemuEvents.start(host, model, id, sink);
    if (typeof events === 'string') throw new Error(events);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await events.stop();
    expect([sink.warnings, existsSync(dir)]).toEqual([[], false]);
  });

  it('are switched off from the note of a recorder that was killed', async () => {
    const { model, other, child } = await startQemu();
    const { id, dir } = runFolder();
    const sink = new Log();
    const events = await QemuEvents.start(host, model, id, sink);
    if (typeof events === 'string') throw new Error(events);
    const note = readFileSync(join(dir, `qmp-${model.pid}`), 'utf8');
    // The monitor takes one client: a recorder that was killed holds it no more.
    (events as unknown as { client: QmpClient }).client.close();
    expect((await eventsOn(other)).length).toBeGreaterThan(5);
    expect(await switchOffNoted(host, `${note}nonsense\nx\ty z\n`)).toEqual([]);
    expect(await eventsOn(other)).toEqual([]);
    await events.stop();
    expect(sink.warnings[0]).toMatch(/^QEMU's trace events may still be on: .*the connection was closed$/);
    expect(existsSync(join(dir, `qmp-${model.pid}`))).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const [failed] = await switchOffNoted(host, note);
    expect(failed).toMatch(/nobody listens on that socket|there is no such socket/);
    rmSync(dir, { recursive: true });
  });

  it('cannot be had without a monitor, a log or a socket', async () => {
    const { model } = await startQemu();
    const noMonitor = { ...model };
    delete noMonitor.qmpSocket;
    const noLog = { ...model };
    delete noLog.traceLog;
    const start = (view: DeviceModelView) => QemuEvents.start(host, view, 'ioreqtrace_1_1', new Log());
    expect(await start(noMonitor)).toMatch(
      /^process \d+ has no QMP monitor \(start QEMU with -qmp unix:...\)$/,
    );
    expect(await start(noLog)).toMatch(/writes its log nowhere that can be read/);
    expect(await start({ ...model, qmpSocket: join(work, 'none.sock') })).toMatch(/there is no such socket$/);
  });

  it('cannot be had while another client holds the monitor', async () => {
    const { model } = await startQemu();
    const socket = model.qmpSocket!;
    const holder = connect({ path: socket });
    await once(holder, 'data');
    const second = connectUnix(socket, socket).then((stream) => QmpClient.open(stream, socket, 300));
    expect(await message(second)).toBe(
      `E_HOST ${socket}: no greeting in 0.3 s: does another client hold the monitor?`,
    );
    holder.destroy();
    const third = await QmpClient.open(await connectUnix(socket, socket), socket);
    expect(await message(third.execute('no-such-command'))).toMatch(
      /^E_HOST .*: QEMU refused no-such-command; got .*CommandNotFound/,
    );
    expect(await third.execute('query-name')).toEqual({});
    third.close();
    expect(await message(third.execute('query-name'))).toMatch(/the connection was closed$/);
  });
});

describe('a monitor that is none', () => {
  let answer: (socket: Socket) => void = () => undefined;
  const path = join(work, 'false.sock');
  beforeAll(async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      answer(socket);
    });
    servers.push(server);
    server.listen(path);
    await once(server, 'listening');
  });

  const GREETING = '{"QMP": {"version": {}, "capabilities": []}}\r\n';
  const answering = (line: string) => (socket: Socket) => {
    socket.write(GREETING);
    socket.once('data', () => socket.write(`${line}\n`));
  };
  const cases: [string, (socket: Socket) => void, RegExp][] = [
    ['closes at once', (s) => s.destroy(), /the monitor closed the connection$/],
    ['closes after its greeting', (s) => s.end(GREETING), /the monitor closed the connection$/],
    ['sends garbage', (s) => s.write('SSH-2.0-OpenSSH\r\n'), /the monitor sends something else than JSON$/],
    [
      'sends bytes',
      (s) => s.write(Buffer.of(255, 0, 254, 10)),
      /the monitor sends something else than JSON$/,
    ],
    ['sends nothing but numbers', (s) => s.write('1\n2\nnull\n'), /no greeting in 0.3 s/],
    ['sends events only', (s) => s.write('{"event": "STOP"}\n'), /no greeting in 0.3 s/],
    ['answers with neither', answering('{}'), /refused qmp_capabilities; got {}$/],
    ['answers with a list', answering('[1]'), /refused qmp_capabilities; got \[1\]$/],
    ['sends a line without end', (s) => s.write(Buffer.alloc((4 << 20) + 2, 32)), /a line without end$/],
  ];
  it.each(cases)('is refused in one line: %s', async (_, say, expected) => {
    answer = say;
    // Long where the answer decides, short where only its absence does.
    const ms = expected.source.includes('0.3 s') ? 300 : 8000;
    const opened = connectUnix(path, path).then((stream) => QmpClient.open(stream, path, ms));
    const text = await message(opened);
    expect(text).toMatch(/^E_HOST /);
    expect(text).toMatch(expected);
  });

  it('is taken however its answers are cut', async () => {
    answer = (socket) => {
      void (async () => {
        const all = `${GREETING}{"event": "RESUME"}\n{"return": {}}\n`;
        await once(socket, 'data').catch(() => undefined);
        for (const part of all.slice(GREETING.length).match(/.{1,7}/gs) ?? []) {
          socket.write(part);
          await sleep(2);
        }
        socket.write('{"return": {"name": "größer"}}\n');
      })();
      socket.write(GREETING);
    };
    const client = await QmpClient.open(await connectUnix(path, path), path);
    expect(await client.execute('query-name')).toEqual({ name: 'größer' });
    client.close();
  });
});

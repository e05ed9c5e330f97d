import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { afterEach, describe, expect, it } from 'vitest';
import { legacyPresent } from '../debug/testing/legacy.ts';
import { shared } from '../testing/recordings.ts';
import { Client } from './testing/client.ts';

const DIST = join(import.meta.dirname, '../../dist/cli');
const EXTENSION = join(import.meta.dirname, '../../editors/vscode');
const built = existsSync(join(DIST, 'commands/debug-adapter.js'));
if (!built) console.warn('SKIPPED: trace debug-adapter as a process: npm run build makes it');

const children: ChildProcess[] = [];
const folders: string[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function start(...args: string[]): ChildProcess & { stdin: NonNullable<ChildProcess['stdin']> } {
  const child = spawn(process.execPath, [join(DIST, 'main.js'), 'debug-adapter', ...args]);
  children.push(child);
  return child;
}

/** The recording and its disk as files; the arguments of a launch. */
function files(): { trace: string; disks: string[] } {
  const folder = mkdtempSync(join(tmpdir(), 'debug-adapter-'));
  folders.push(folder);
  const trace = join(folder, 'blk-legacy.jsonl');
  const disk = join(folder, 'disk.img');
  writeFileSync(trace, shared('xen-arm-replay/blk-legacy.jsonl'));
  writeFileSync(disk, shared('xen-arm-replay/disk-start.img'));
  return { trace, disks: [`0=${disk}`] };
}

async function tour(client: Client, launch: object): Promise<void> {
  await client.get('initialize', { adapterID: 'ioreq-trace', linesStartAt1: true });
  await client.get('launch', launch);
  await client.event('initialized');
  const { breakpoints } = await client.get<DebugProtocol.SetFunctionBreakpointsResponse['body']>(
    'setFunctionBreakpoints',
    { breakpoints: [{ name: 'blk0.QueueNotify', condition: 'type == write' }] },
  );
  expect(breakpoints).toMatchObject([{ verified: true }]);
  await client.get('configurationDone');
  await client.event('stopped');
  expect(await client.move('continue')).toMatchObject({ reason: 'function breakpoint' });
  const line = await client.line();
  await client.move('stepBack');
  expect(await client.line()).toBe(line - 1);
  const { result } = await client.get<{ result: string }>('evaluate', {
    expression: 'finish',
    context: 'repl',
  });
  expect(result).toBe('equal to the recording');
  await client.get('disconnect');
}

/** As VS Code starts an adapter of runtime "node": its `program` by require(), beside what the extension holds. */
function startInVsCode(): ChildProcess & { stdin: NonNullable<ChildProcess['stdin']> } {
  const folder = mkdtempSync(join(tmpdir(), 'vs-code-extension-'));
  folders.push(folder);
  for (const file of ['package.json', 'adapter.cjs']) copyFileSync(join(EXTENSION, file), join(folder, file));
  copyFileSync(join(DIST, '../trace.mjs'), join(folder, 'trace.mjs'));
  const { contributes } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    contributes: { debuggers: { program: string; args: string[]; runtime: string }[] };
  };
  const { program, args, runtime } = contributes.debuggers[0]!;
  expect(runtime).toBe('node');
  const code = 'delete process.env.ELECTRON_RUN_AS_NODE;require(process.argv[1])';
  const child = spawn(process.execPath, ['-e', code, join(folder, program), ...args]);
  children.push(child);
  return child;
}

describe.skipIf(!built || !legacyPresent())('trace debug-adapter', () => {
  it('is started by VS Code from the files of the extension', async () => {
    const child = startInVsCode();
    const exited = once(child, 'exit');
    await tour(new Client(child.stdin, child.stdout!), files());
    expect((await exited)[0]).toBe(0);
  });

  it('serves an editor over standard input and output, and ends with it', async () => {
    const child = start();
    const exited = once(child, 'exit');
    await tour(new Client(child.stdin, child.stdout!), files());
    expect((await exited)[0]).toBe(0);
  });

  it('serves editors on a port of the loopback interface until it is told to end', async () => {
    const child = start('--port', '0');
    const exited = once(child, 'exit');
    const [piece] = (await once(child.stdout!, 'data')) as [Buffer];
    const port = Number(/^listening on 127\.0\.0\.1:(\d+)\n/.exec(piece.toString())?.[1]);
    const launch = files();
    for (let n = 0; n < 2; n++) {
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect');
      const closed = once(socket, 'close');
      await tour(new Client(socket, socket), launch);
      await closed;
    }
    child.kill('SIGTERM');
    expect((await exited)[0]).toBe(0);
  });

  it('ends with its editor, and says so when that speaks something else', async () => {
    const silent = start();
    const ended = once(silent, 'exit');
    silent.stdin.end();
    expect((await ended)[0]).toBe(0);
    const child = start();
    let error = '';
    child.stderr!.on('data', (text: Buffer) => (error += text.toString()));
    const exited = once(child, 'exit');
    child.stdin.write('GET / HTTP/1.1\r\n\r\n');
    expect((await exited)[0]).toBe(2);
    expect(error).toContain('trace: E_USAGE: no debug adapter client');
  });
});

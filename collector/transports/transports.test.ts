import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildForChild, removeBuild } from '../../fixtures/child-build.ts';
import { openTransport } from './index.ts';
import type { SshServer } from '../../fixtures/ssh-server.ts';
import { SSHD, hasSshd, startSshServer } from '../../fixtures/ssh-server.ts';
import type { HostTransport } from './transport.ts';

if (!hasSshd) {
  console.warn(
    `SKIPPED: ssh transports are not run: no ${SSHD} (openssh-server; IOREQ_TRACE_SSHD names another)`,
  );
}

const work = mkdtempSync(join(tmpdir(), 'ioreq-transports-'));
let build: string;
let server: SshServer | undefined;
let echo: Server;
const echoPath = join(work, 'echo.sock');
beforeAll(async () => {
  build = buildForChild(['trace', 'collector/transports']);
  if (hasSshd) server = await startSshServer();
  echo = createServer((socket) => socket.pipe(socket));
  echo.listen(echoPath);
  await once(echo, 'listening');
}, 60_000);
afterAll(() => {
  removeBuild(build);
  server?.stop();
  echo.close();
  rmSync(work, { recursive: true, force: true });
});

/** What a transport leaves in the folder for temporary files. */
function socketFolders(): string[] {
  return readdirSync(tmpdir()).filter((name) => /^ioreq-\w{6}$/.test(name));
}

/** Processes of ssh that are connected to that port. */
function clientsOf(port: number): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    })
    .filter((line) => line.startsWith('ssh ') && line.includes(`-p ${port} `));
}

async function until(what: () => boolean, ms = 8000): Promise<boolean> {
  const end = Date.now() + ms;
  while (!what() && Date.now() < end) await sleep(20);
  return what();
}

const KINDS: { kind: string; skip: boolean; open: () => Promise<HostTransport> }[] = [
  { kind: 'local', skip: false, open: () => openTransport(undefined) },
  { kind: 'ssh', skip: !hasSshd, open: () => openTransport(server!.target, { sshWords: server!.words }) },
];

describe.each(KINDS)('the $kind transport', ({ kind, skip, open }) => {
  const test = it.skipIf(skip);
  let host: HostTransport;
  beforeAll(async () => {
    if (!skip) host = await open();
  });
  afterAll(async () => {
    if (!skip) await host.close();
  });

  test('runs a script with all that sh can do in it, and gives its output and exit code', async () => {
    const script = `a='one  "two"'; echo "$a"\n# it's a comment\ncat <<'X'\n$a \\\nX\necho oops >&2; exit 3`;
    expect(await host.run(script)).toEqual({ stdout: 'one  "two"\n$a \\\n', stderr: 'oops\n', code: 3 });
    expect((await host.run('IFS= read -r a; cat; echo "[$a]"', { input: 'first\nrest\0\n' })).stdout).toBe(
      'rest\0\n[first]\n',
    );
    expect((await host.run('cat')).stdout).toBe('');
  });

  test('runs scripts that are longer than a command line', async () => {
    const text = 'x'.repeat(200);
    const script = `n=0\n${`n=$((n + 1)) # ${text}\n`.repeat(900)}echo $n`;
    expect((await host.run(script)).stdout).toBe('900\n');
  });

  test('kills what takes too long, with all that it started, and cuts what is too much', async () => {
    const before = Date.now();
    const late = await host.run('echo begun; sleep 60 | sleep 60', { timeoutMs: 1500 });
    expect(late).toMatchObject({ stdout: 'begun\n', code: null });
    expect(Date.now() - before).toBeLessThan(5000);
    const much = await host.run('i=0; while [ $i -lt 2000 ]; do echo 123456789; i=$((i+1)); done', {
      maxBytes: 25,
    });
    expect(much).toMatchObject({ stdout: '123456789\n123456789\n12345', code: 0 });
  });

  test('streams bytes both ways until its stdin ends', async () => {
    const stream = await host.stream('echo note >&2; cat; printf end; exit 4');
    const chunks: Buffer[] = [];
    stream.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    const sent = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 8)) & 255));
    stream.stdin.end(sent);
    expect(await stream.ended).toEqual({ code: 4, lost: false });
    const got = Buffer.concat(chunks);
    expect(got.subarray(0, -3).equals(sent)).toBe(true);
    expect(got.subarray(-3).toString()).toBe('end');
    expect(stream.stderrTail()).toBe('note');
  });

  test('ends a stream at once', async () => {
    const stream = await host.stream('echo $$; exec sleep 60');
    stream.stdout.resume();
    const before = Date.now();
    stream.kill();
    expect(await stream.ended).toMatchObject({ lost: false });
    expect(Date.now() - before).toBeLessThan(3000);
  });

  test('connects to a Unix socket of the host', async () => {
    const socket = await host.connect(echoPath);
    socket.write('hello');
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    expect(chunk.toString()).toBe('hello');
    socket.destroy();
    await expect(host.connect(join(work, 'none.sock'))).rejects.toMatchObject({
      code: 'E_HOST',
      message: expect.stringContaining('there is no such socket') as string,
    });
  });

  test('runs more at once than one connection takes', async () => {
    const all = Array.from({ length: 12 }, (_, i) => host.run(`sleep 0.3; echo ${i}`));
    expect((await Promise.all(all)).map(({ stdout }) => Number(stdout))).toEqual(all.map((_, i) => i));
  });

  test('leaves nothing behind, closed or killed', async () => {
    const folders = socketFolders();
    const other = await open();
    const stream = await other.stream('cat');
    stream.stdout.resume();
    await other.close();
    await stream.ended;
    expect(socketFolders()).toEqual(folders);

    const stopped = join(work, `stopped-${kind}`);
    const source = `
      import { openTransport } from ${JSON.stringify(join(build, 'collector/transports/index.js'))};
      const host = await openTransport(${kind === 'ssh' ? 'process.argv[2], { sshWords: process.argv[3] }' : 'undefined'});
      const stream = await host.stream('echo on; cat >/dev/null; sleep 1; echo undone >${stopped}');
      stream.stdout.once('data', () => console.log('ready'));`;
    const child = spawn(
      process.execPath,
      ['--input-type=module', '-e', source, 'x', server?.target ?? '', server?.words ?? ''],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await once(child.stdout, 'data');
    if (kind === 'ssh') expect(socketFolders().length).toBe(folders.length + 1);
    child.kill('SIGKILL');
    expect(await until(() => existsSync(stopped))).toBe(true);
    expect(await until(() => socketFolders().length === folders.length)).toBe(true);
  });
});

describe('a host that is gone', () => {
  const test = it.skipIf(!hasSshd);
  test('is noticed by streams, later calls and lost', async () => {
    const own = await startSshServer();
    try {
      const host = await openTransport(own.target, { sshWords: own.words });
      const stream = await host.stream('cat');
      stream.stdout.resume();
      await host.run('true');
      own.dropConnections();
      expect(await stream.ended).toMatchObject({ lost: true });
      expect(await host.lost).not.toBe('');
      await expect(host.run('true')).rejects.toMatchObject({ code: 'E_HOST' });
      await host.close();
    } finally {
      own.stop();
    }
  });

  test('is noticed when it only falls silent', async () => {
    const own = await startSshServer();
    try {
      // As ours, with a shorter time: 3 x 1 s instead of 3 x 5 s.
      const host = await openTransport(own.target, { sshWords: `${own.words} -o ServerAliveInterval=1` });
      const stream = await host.stream('cat');
      stream.stdout.resume();
      await host.run('true');
      own.silenceConnections();
      expect(await stream.ended).toMatchObject({ lost: true });
      expect(await host.lost).toMatch(/not responding/);
      await host.close();
    } finally {
      own.stop();
    }
  });

  test('ends what runs on it, stuck or not, when this process is killed', async () => {
    const folders = socketFolders();
    const source = `
      import { openTransport } from ${JSON.stringify(join(build, 'collector/transports/index.js'))};
      const host = await openTransport(process.argv[2], { sshWords: process.argv[3] });
      const stream = await host.stream('echo on; exec sleep 30');
      stream.stdout.once('data', () => console.log('ready'));`;
    const args = ['--input-type=module', '-e', source, 'x', server!.target, server!.words];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    expect(await until(() => socketFolders().length === folders.length)).toBe(true);
    expect(clientsOf(server!.port)).toEqual([]);
  });

  test('goes on where the server allows one session a connection', async () => {
    const own = await startSshServer(['MaxSessions 1']);
    try {
      const host = await openTransport(own.target, { sshWords: own.words });
      const stream = await host.stream('cat');
      expect((await host.run('echo 1')).stdout).toBe('1\n');
      stream.kill();
      await host.close();
    } finally {
      own.stop();
    }
  });

  test('is told in one line when it cannot be reached', async () => {
    const { target, words, port, dir } = server!;
    const open = (to: string, with_: string) => openTransport(to, { sshWords: with_ });
    const folders = socketFolders();
    await expect(
      open(target, `-F none -o UserKnownHostsFile=${dir}/known -i ${dir}/none -o IdentitiesOnly=yes`),
    ).rejects.toMatchObject({
      code: 'E_HOST',
      message: expect.stringMatching(
        /lets us in with no key: "ssh -o BatchMode=yes -p \d+ \w+@127/,
      ) as string,
    });
    await expect(
      open(target, `-F none -i ${dir}/user -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes`),
    ).rejects.toThrow(/host key of .* is not known yet/);
    await expect(open('ssh://127.0.0.1:1', words)).rejects.toThrow(/refuses the connection/);
    await expect(open(`ssh://no-such-host.invalid:${port}`, words)).rejects.toThrow(
      /there is no host no-such-host/,
    );
    expect(socketFolders()).toEqual(folders);
  });
});

describe('names of hosts', () => {
  it.each([
    'board',
    'http://board',
    'ssh://',
    'ssh://-oProxyCommand=x',
    'ssh://-l@board',
    'ssh://a b',
    'ssh://b:0',
    'ssh://b:70000',
    'ssh://b/x',
    'ssh://[::1',
    'ssh://b\n',
  ])('%j is none', async (name) => {
    await expect(openTransport(name)).rejects.toMatchObject({ code: 'E_USAGE' });
  });
});

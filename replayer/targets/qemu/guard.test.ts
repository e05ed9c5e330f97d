import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import ts from 'typescript';
import { expect, it } from 'vitest';

/** Starts a Node that guards a process, ends that Node with a signal, and tells whether the process is still there. */
async function survives(signal: NodeJS.Signals, before: string): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'ioreq-trace-guard-'));
  const source = readFileSync(new URL('./guard.ts', import.meta.url), 'utf8');
  const { outputText } = ts.transpileModule(source, { compilerOptions: { module: ts.ModuleKind.ESNext } });
  writeFileSync(join(folder, 'guard.mjs'), outputText);
  writeFileSync(
    join(folder, 'main.mjs'),
    `import { spawn } from 'node:child_process';
import { Guard } from './guard.mjs';
const child = spawn('sleep', ['300'], { stdio: 'ignore', detached: true });
const guard = new Guard(child.pid);
${before}
console.log(child.pid);
setInterval(() => undefined, 1000);`,
  );
  const node = spawn(process.execPath, [join(folder, 'main.mjs')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(node.stdout, 'data')) as [Buffer];
  const pid = Number(line.toString());
  node.kill(signal);
  await once(node, 'exit');
  try {
    for (let tries = 0; tries < 500; tries++) {
      if (!alive(pid)) return false;
      // A released one is looked at for half a second.
      if (before !== '' && tries > 50) return true;
      await sleep(10);
    }
    return true;
  } finally {
    if (alive(pid)) process.kill(pid, 'SIGKILL');
    rmSync(folder, { recursive: true });
  }
}

/** A process that nobody has waited for yet is dead as well. */
function alive(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

it.each(['SIGKILL', 'SIGINT', 'SIGTERM'] as const)(
  'ends a process when its owner ends by %s',
  async (signal) => {
    expect(await survives(signal, '')).toBe(false);
  },
);

it('lets a process go on that was released', async () => {
  expect(
    await survives('SIGKILL', 'guard.release(); await new Promise((done) => setTimeout(done, 100));'),
  ).toBe(true);
});

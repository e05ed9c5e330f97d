#!/usr/bin/env node
import { isMainThread } from 'node:worker_threads';

if (isMainThread) await commandLine();
else {
  // A thread of `trace analyze` and its like: this file is its script, too.
  const { serveDom0Thread } = await import('../analyzer/threads/serve-dom0.ts');
  serveDom0Thread();
}

async function commandLine(): Promise<void> {
  const { run } = await import('./run.ts');
  // `trace info T | head` closes the pipe early: nothing more is wanted, and nothing is wrong.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit(0);
    });
  }

  process.exitCode = await run(process.argv.slice(2), {
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    stdoutIsTerminal: process.stdout.isTTY,
    stderrIsTerminal: process.stderr.isTTY,
    env: process.env,
    script: new URL(import.meta.url),
  });
}

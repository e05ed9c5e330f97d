import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Unix socket paths end at 107 bytes, and ssh makes its socket under a longer name first ('.' and 16 letters).
 */
const LONGEST_FOLDER = 60;

/**
 * Reads until this process ends (its end of the pipe closes), however it ends. The board then sees end of file on
 * the stdin of all it runs for us and cleans up by itself; the connections are then told to go.
 */
const GUARD = `trap '' HUP INT TERM
cat >/dev/null 2>&1
n=0
while [ $n -lt 2 ]; do
  left=
  for s in "$1"/m*; do [ -S "$s" ] && left=yes; done
  [ -z "$left" ] && break
  n=$((n + 1)); sleep 1
done
for s in "$1"/m*; do [ -S "$s" ] && ssh -F none -S "$s" -O exit x; done
rm -rf -- "$1"`;

/** A private folder for ssh's sockets, and a small shell beside us that sees to it that nothing outlives us. */
export class SshGuard {
  readonly dir: string;
  private readonly child: ChildProcess;
  private readonly ended: Promise<void>;

  constructor() {
    const base = tmpdir();
    this.dir = mkdtempSync(join(base.length <= LONGEST_FOLDER - 8 ? base : '/tmp', 'ioreq-'));
    this.child = spawn('sh', ['-c', GUARD, 'sh', this.dir], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    this.ended = new Promise((resolve) => {
      this.child.once('close', () => {
        resolve();
      });
      this.child.once('error', () => {
        rmSync(this.dir, { recursive: true, force: true });
        resolve();
      });
    });
    this.child.stdin?.on('error', () => undefined);
  }

  /** To be called when the connections have ended: removes the folder. */
  async close(): Promise<void> {
    this.child.stdin?.end();
    await this.ended;
  }
}

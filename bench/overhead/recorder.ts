import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { discover } from '../../collector/live-host/discover.ts';
import { HOOK, HOOKS } from '../../collector/probes/hooks.ts';
import { planRecording } from '../../collector/probes/plan.ts';
import { agentScript } from '../../collector/record/agent.ts';
import { openTransport } from '../../collector/transports/index.ts';
import { RECORDS } from '../../fixtures/xen-on-arm/records.ts';
import type { Guest, XenHost } from '../../fixtures/xen-on-arm/types.ts';
import type { Manifest } from '../../trace/manifest.ts';
import type { HookSet } from './hook-sets.ts';

const BUNDLE = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', '..', 'dist', 'trace.mjs');
const BOARD_SCRIPT = '/root/agent.sh';

function recorderTmp(work: string): string {
  return join(work, 't');
}

/** A recording that runs while the guest works. */
export class OverheadRecorder {
  private readonly child: ChildProcess;
  private readonly dir: string;
  private readonly ended: Promise<number | null>;
  private stderr = '';

  private constructor(child: ChildProcess, dir: string) {
    this.child = child;
    this.dir = dir;
    child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    child.stdout?.resume();
    this.ended = new Promise((resolve) => {
      child.once('close', resolve);
    });
  }

  /** Starts it and waits until tracing is on. */
  static async start(
    host: XenHost,
    guest: Guest,
    work: string,
    set: HookSet,
    number: number,
  ): Promise<OverheadRecorder> {
    const tmp = recorderTmp(work);
    const dir = set.boardOnly === true ? '' : join(work, `o${number}`);
    mkdirSync(tmp, { recursive: true });
    const env = { ...process.env, TMPDIR: tmp, IOREQ_TRACE_SSH: `-F ${host.sshConfig}` };
    let child: ChildProcess;
    if (set.boardOnly === true) {
      await pushBoardScript(host, guest);
      const words = ['-F', host.sshConfig, 'dom0', `sh ${BOARD_SCRIPT} >/dev/null`];
      child = spawn('ssh', words, { env, stdio: ['pipe', 'pipe', 'pipe'] });
      child.stdin?.write('go\n');
    } else {
      const words = [process.execPath, BUNDLE, 'record', '--host', host.sshTarget, '--domid', guest.name];
      words.push('-o', dir, ...set.words);
      const [file, ...args] =
        set.live === true ? ['script', '-qefc', words.map(quote).join(' '), '/dev/null'] : words;
      child = spawn(file!, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    }
    const recorder = new OverheadRecorder(child, dir);
    const wait = `n=0; while [ $n -lt 300 ]; do ${RECORDS} && exit 0
      sleep 0.2; n=$((n + 1)); done; exit 1`;
    const first = await Promise.race([host.exec(wait, { timeoutMs: 90_000 }), recorder.ended]);
    if (first === null || typeof first === 'number' || first.code !== 0) {
      child.kill('SIGKILL');
      throw new Error(`no recording (${set.name}): ${recorder.stderr}`);
    }
    return recorder;
  }

  /** Ends it; rows of its trace. */
  async stop(): Promise<number> {
    // Of `script`, its terminal's Ctrl-C; of the board's script, the end of its stdin.
    if (this.dir === '') this.child.stdin?.end();
    else if (this.child.spawnfile === 'script') this.child.stdin?.write('\u0003');
    else this.child.kill('SIGINT');
    const code = await this.ended;
    if (code !== 0) throw new Error(`the recorder ended with ${code ?? 'a signal'}: ${this.stderr}`);
    if (this.dir === '') return 0;
    const manifest = JSON.parse(readFileSync(join(this.dir, 'manifest.json'), 'utf8')) as Manifest;
    rmSync(this.dir, { recursive: true });
    return manifest.sources.reduce((sum, { rows }) => sum + rows, 0);
  }
}

/** The board's half of the recorder as a file in Dom0, as it would be sent for the default set without xen. */
async function pushBoardScript(host: XenHost, guest: Guest): Promise<void> {
  process.env['IOREQ_TRACE_SSH'] = `-F ${host.sshConfig}`;
  const transport = await openTransport(host.sshTarget);
  try {
    const view = await discover(transport, { domain: guest.name });
    const hooks = new Set(
      HOOKS.filter((hook) => HOOK[hook].byDefault && hook !== 'xen' && hook !== 'points'),
    );
    const plan = planRecording(view, { hooks, bufferKib: 2048, bufferMaxKib: 16_384, xenBufferPages: 256 });
    await host.exec(`cat >${BOARD_SCRIPT}`, { input: agentScript(plan, 'end-of-text') });
  } finally {
    await transport.close();
  }
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

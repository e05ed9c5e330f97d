import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Guest, XenHost } from '../../fixtures/xen-on-arm/types.ts';
import type { AccuracyWorkload } from './workloads.ts';

const BUNDLE = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', '..', 'dist', 'trace.mjs');
/** Loops without end in a guest, each in the background: what keeps its vCPUs busy. */
const SPIN = '(while :; do :; done) >/dev/null 2>&1 </dev/null &\n';

let guests = 0;

/** Records one workload of a fresh guest with the command line, as a user does, into the trace directory `dir`. */
export async function recordWorkload(
  host: XenHost,
  workload: AccuracyWorkload,
  dir: string,
  tmp: string,
): Promise<void> {
  const { vcpus, devices, busy } = workload;
  const name = (what: string): string => `a${process.pid % 1000}${what}${guests++}`;
  const neighbour =
    busy === 0 ? undefined : await host.startGuest({ name: name('n'), vcpus: busy, devices: [devices[0]!] });
  let guest: Guest | undefined;
  try {
    guest = await host.startGuest({ name: name('g'), vcpus, devices });
    await neighbour?.exec(SPIN.repeat(busy));
    const recorder = await Recording.start(host, guest, dir, tmp);
    const truth = await guest.workload(workload.work, workload.size, { timeoutMs: 1_200_000 });
    await recorder.stop();
    if (!truth.dataIntact) throw new Error(`${workload.name}: the data of guest and host differ`);
  } finally {
    await guest?.destroy().catch(() => undefined);
    await neighbour?.destroy().catch(() => undefined);
  }
}

/** A `trace record` over ssh that runs while a guest works. */
class Recording {
  private readonly ended: Promise<number | null>;
  private readonly interrupt: () => void;
  private stderr = '';

  private constructor(host: XenHost, guest: Guest, dir: string, tmp: string) {
    const own = join(tmp, 't');
    mkdirSync(own, { recursive: true });
    const words = [BUNDLE, 'record', '--host', host.sshTarget, '--domid', guest.name, '-o', dir];
    const child = spawn(process.execPath, words, {
      env: { ...process.env, TMPDIR: own, IOREQ_TRACE_SSH: `-F ${host.sshConfig}` },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.interrupt = () => {
      child.kill('SIGINT');
    };
    this.ended = new Promise((resolve) => {
      child.once('close', resolve);
    });
  }

  /** Resolves when tracing is on. */
  static async start(host: XenHost, guest: Guest, dir: string, tmp: string): Promise<Recording> {
    const recording = new Recording(host, guest, dir, tmp);
    const wait = `n=0; while [ $n -lt 600 ]; do grep -qs 1 /sys/kernel/tracing/instances/ioreqtrace_*/tracing_on && exit 0
      sleep 0.2; n=$((n + 1)); done; exit 1`;
    const first = await Promise.race([host.exec(wait, { timeoutMs: 180_000 }), recording.ended]);
    if (first === null || typeof first === 'number' || first.code !== 0) {
      recording.interrupt();
      throw new Error(`no recording: ${recording.stderr}`);
    }
    return recording;
  }

  async stop(): Promise<void> {
    this.interrupt();
    const code = await this.ended;
    if (code !== 0) throw new Error(`the recorder ended with ${code ?? 'a signal'}: ${this.stderr}`);
  }
}

import { posix } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TracePoints } from '../../trace/recording-facts.ts';
import type { XentracePlan } from '../probes/xentrace-buffers.ts';
import { OWN_STDOUT, wantsPoints } from '../probes/xentrace-buffers.ts';
import type { HostProcess, HostTransport } from '../transports/transport.ts';
import { shellWord } from '../transports/transport.ts';
import { OWNER_FUNCTIONS } from './owner.ts';
import { PointsWatch } from './points-watch.ts';
import type { RecordSink } from './sink.ts';

/** xentrace says at once if it cannot: after this long without an end it runs. */
const START_MS = 700;
const STOP_MS = 15_000;
const DRAIN_MS = 30_000;

/**
 * xentrace on the host, its output a stream of bytes. A shell beside it stops it when its stdin ends, in the way
 * (SIGTERM) in which it switches tracing in Xen off again.
 */
export class XentraceStream {
  /** Why it ended by itself; undefined after a stop. */
  readonly ended: Promise<string | undefined>;
  /** Looks for the Arm trace points. */
  readonly points = new PointsWatch();
  private readonly host: HostTransport;
  private readonly plan: XentracePlan;
  private readonly id: string;
  private readonly sink: Pick<RecordSink, 'xen' | 'warning'>;
  private process: HostProcess | undefined;
  private stopped = false;
  private tellEnded: (why: string | undefined) => void = () => undefined;

  constructor(
    host: HostTransport,
    plan: XentracePlan,
    id: string,
    sink: Pick<RecordSink, 'xen' | 'warning'>,
  ) {
    this.host = host;
    this.plan = plan;
    this.id = id;
    this.sink = sink;
    this.ended = new Promise((resolve) => {
      this.tellEnded = resolve;
    });
  }

  /** Why it cannot run; undefined if it does. */
  async start(): Promise<string | undefined> {
    const { path, drain, args, pages } = this.plan;
    const drained = await this.host
      .run(drainScript(path, drain), { timeoutMs: DRAIN_MS })
      .catch((error: unknown) => String(error));
    if (typeof drained === 'string') return drained;
    const { stdout, stderr, code } = drained;
    if (code !== 0) return code === null ? `no answer in ${DRAIN_MS / 1000} s` : lastLine(stderr);
    const [, now, asked] = /^(\d+) (\d+)$/m.exec(stdout) ?? [];
    if (now !== undefined && Number(asked) === pages) {
      this.sink.warning(
        `Xen's trace buffers have ${now} pages for each CPU since their first use, and keep them until the host ` +
          `reboots: ${pages} were asked for`,
      );
    }
    return await this.attempt(args);
  }

  /** Which trace points Xen has; undefined if they were not asked for, or nothing can be said. */
  tracePoints(): TracePoints | undefined {
    if (!wantsPoints(this.plan)) return undefined;
    // One that died before its first record says nothing.
    return this.points.bytes > 0 || this.stopped ? this.points.verdict() : undefined;
  }

  async stop(): Promise<void> {
    const { process } = this;
    if (process === undefined) return;
    this.stopped = true;
    process.stdin.end();
    const late = new AbortController();
    await Promise.race([
      process.ended,
      sleep(STOP_MS, undefined, { signal: late.signal }).catch(() => undefined),
    ]);
    late.abort();
    process.kill();
  }

  private async attempt(args: readonly string[]): Promise<string | undefined> {
    const process = await this.host.stream(xentraceScript(this.plan.path, args, this.id));
    const read = this.consume(process);
    const over = await Promise.race([read.then(() => true), sleep(START_MS, false)]);
    if (over) return lastLine(process.stderrTail());
    this.process = process;
    void read.then(() => {
      this.tellEnded(this.stopped ? undefined : lastLine(process.stderrTail()));
    });
    return undefined;
  }

  private async consume(process: HostProcess): Promise<void> {
    try {
      for await (const chunk of process.stdout) {
        this.points.push(chunk as Buffer);
        this.sink.xen(chunk as Buffer);
      }
    } catch {
      // The disk is full: the pages of the kernel meet the same and end the recording.
      process.stdout.resume();
      process.stdin.end();
    }
    await process.ended;
  }
}

function lastLine(text: string): string {
  const lines = text.trim().split('\n');
  return lines.at(-1) === '' ? 'it ended without a word' : lines.at(-1)!;
}

/**
 * The run that makes and empties the buffers. A size that the buffers cannot take any more is no failure to xentrace;
 * Xen's messages tell (xen/common/trace.c, tb_set_size): then the size in force and the one asked for are printed.
 */
function drainScript(path: string, args: readonly string[]): string {
  const command = [path, ...args].map(shellWord).join(' ');
  return `PATH=${shellWord(posix.dirname(path))}:$PATH:/usr/local/sbin:/usr/sbin:/sbin
${command} >/dev/null || exit
xl dmesg 2>/dev/null | sed -n 's/.*tb_set_size from \\([0-9]*\\) to \\([0-9]*\\) not implemented.*/\\1 \\2/p' | tail -n 1; true`;
}

function xentraceScript(path: string, args: readonly string[], id: string): string {
  const script = runScript(path, args, id);
  // sshd gives a command a socket for stdout, which has no name that can be opened: a pipe of our own does.
  return args.at(-1) === OWN_STDOUT ? `{ ${script}\n} | cat` : script;
}

function runScript(path: string, args: readonly string[], id: string): string {
  const command = [path, ...args].map(shellWord).join(' ');
  return `exec 3<&0
${OWNER_FUNCTIONS}
none() { ! cat /proc/[0-9]*/comm 2>/dev/null | grep -qx xentrace; }
trap '' PIPE
${command} & x=$!
for d in /run /var/run; do
  [ -d $d/ioreq-trace/${id} ] && printf '%s %s\\n' $x "$(startof $x)" >$d/ioreq-trace/${id}/xentrace
done
( while IFS= read -r line; do :; done; kill -TERM $x ) <&3 2>/dev/null & watch=$!
wait $x; code=$?
kill $watch 2>/dev/null
# One that failed (its output was cut off) leaves tracing in Xen on: one that ends in order switches it off.
[ $code = 0 ] || ! none || ${shellWord(path)} -D -e 0x0001f000 -T 1 /dev/null >/dev/null 2>&1
for d in /run /var/run; do
  rm -f $d/ioreq-trace/${id}/xentrace; rmdir $d/ioreq-trace/${id} $d/ioreq-trace
done 2>/dev/null
exit $code`;
}

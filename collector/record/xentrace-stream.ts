import { setTimeout as sleep } from 'node:timers/promises';
import type { XentracePlan } from '../probes/xentrace-buffers.ts';
import type { HostProcess, HostTransport } from '../transports/transport.ts';
import { shellWord } from '../transports/transport.ts';
import { OWNER_FUNCTIONS } from './owner.ts';
import type { RecordSink } from './sink.ts';

/** xentrace says at once if it cannot: after this long without an end it runs. */
const START_MS = 700;
const STOP_MS = 15_000;

/**
 * xentrace on the host, its output a stream of bytes. A shell beside it stops it when its stdin ends, in the way
 * (SIGTERM) in which it switches tracing in Xen off again.
 */
export class XentraceStream {
  /** Why it ended by itself; undefined after a stop. */
  readonly ended: Promise<string | undefined>;
  private readonly host: HostTransport;
  private readonly plan: XentracePlan;
  private readonly id: string;
  private readonly sink: RecordSink;
  private process: HostProcess | undefined;
  private stopped = false;
  private tellEnded: (why: string | undefined) => void = () => undefined;

  constructor(host: HostTransport, plan: XentracePlan, id: string, sink: RecordSink) {
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
    const first = await this.attempt(this.plan.args);
    // Buffers that are there already keep their size until the host reboots: asking for another is refused.
    const size = this.plan.args.indexOf('-S');
    if (first === undefined || size < 0) return first;
    const rest = this.plan.args.filter((_, i) => i !== size && i !== size + 1);
    const second = await this.attempt(rest);
    if (second === undefined) {
      this.sink.warning("Xen's trace buffers have another size than asked for, since the host booted");
    }
    return second;
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
      for await (const chunk of process.stdout) this.sink.xen(chunk as Buffer);
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

function xentraceScript(path: string, args: readonly string[], id: string): string {
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

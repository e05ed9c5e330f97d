import { readdirSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { MessagePort } from 'node:worker_threads';
import { MessageChannel, Worker, receiveMessageOnPort } from 'node:worker_threads';
import type { ErrorCode } from '../../trace/errors.ts';
import { ERROR_CODES, TraceError } from '../../trace/errors.ts';
import type { Manifest } from '../../trace/manifest.ts';
import { FORMAT_VERSION } from '../../trace/manifest.ts';
import type { OpenTrace } from '../../trace/open.ts';
import type { Dom0Source, PassOptions } from '../analyze.ts';
import type { Dom0Findings, Dom0Results } from '../dom0-side.ts';
import type { Ring } from './ring-tape.ts';
import { RingReader, isWritten, makeRing } from './ring-tape.ts';

/** A thread takes a tenth of a second to start and to become fast: less than half of what the events take then. */
const LEAST_BYTES = 500e6;
/** How long it is waited for: to begin, and to tell anything. */
export interface Patience {
  /** Longer than a thread takes to start, unless it never will: one thread does then. */
  beginMs: number;
  /** Longer than any disk takes for a batch: the thread is gone, out of memory, say. */
  silentMs: number;
}

const PATIENCE: Patience = { beginMs: 10_000, silentMs: 120_000 };

/** What a thread of this kind is told first. */
export const DOM0_ROLE = 'ioreq-trace: Dom0 side';

/** What it works on. */
export interface Dom0Job {
  dir: string;
  manifest: Manifest;
  found: Dom0Findings;
  ring: Ring;
}

export interface Dom0ThreadData {
  role: typeof DOM0_ROLE;
  port: MessagePort;
}

/** What comes back through the port, once. */
export type Dom0Outcome =
  { results: Dom0Results } | { failure: { code: ErrorCode | undefined; message: string } };

/**
 * A thread for Dom0's side of a trace. It is started before anything is known of the trace, because it takes as long
 * to start as a trace to open.
 */
export class Dom0Thread {
  private readonly worker: Worker;
  private readonly port: MessagePort;
  private readonly patience: Patience;
  private used = false;

  /** `script`: what it runs; it calls serveDom0Thread if it is not on the main thread. */
  constructor(script: URL, patience = PATIENCE) {
    this.patience = patience;
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    const workerData: Dom0ThreadData = { role: DOM0_ROLE, port: port2 };
    this.worker = new Worker(script, { workerData, transferList: [port2], argv: [], execArgv: [] });
    // Its failures come through the port; nothing waits for its end.
    this.worker.on('error', () => undefined);
    this.worker.unref();
  }

  /** What to give runPasses as `dom0Thread` for `trace`; it takes the thread once. */
  of(trace: OpenTrace): PassOptions['dom0Thread'] {
    if (trace.writtenAs !== FORMAT_VERSION) return undefined;
    return ({ manifest }, found) => (this.used ? undefined : this.begin(trace.dir, manifest, found));
  }

  close(): void {
    this.port.close();
    void this.worker.terminate();
  }

  /** undefined: it does not begin. */
  private begin(dir: string, manifest: Manifest, found: Dom0Findings): Dom0Source | undefined {
    this.used = true;
    const ring = makeRing();
    const { domid, vcpus, pids, vcpuOfPort, answers } = found;
    const job: Dom0Job = { dir, manifest, found: { domid, vcpus, pids, vcpuOfPort, answers }, ring };
    this.port.postMessage(job);
    if (!isWritten(ring, this.patience.beginMs)) return undefined;
    const outcome = (): Dom0Outcome | undefined =>
      receiveMessageOnPort(this.port)?.message as Dom0Outcome | undefined;
    return {
      tape: new RingReader(ring, () => thrown(outcome()), this.patience.silentMs),
      results: () => {
        const end = outcome();
        return end !== undefined && 'results' in end ? end.results : thrown(end);
      },
      closed: () => undefined,
    };
  }
}

/** Whether a second thread pays for the trace directory `dir`: there is a core for it, and enough to read. */
export function secondThreadPays(dir: string): boolean {
  if (availableParallelism() < 2) return false;
  let bytes = 0;
  try {
    for (const name of readdirSync(dir)) bytes += statSync(join(dir, name)).size;
  } catch {
    // Opening it will say what is wrong.
    return false;
  }
  return bytes >= LEAST_BYTES;
}

function thrown(outcome: Dom0Outcome | undefined): never {
  if (outcome === undefined || !('failure' in outcome))
    throw new Error('the thread that reads the events of Dom0 ended without a word');
  const { code, message } = outcome.failure;
  if (code === undefined || !(code in ERROR_CODES)) throw new Error(message);
  throw new TraceError(code, message);
}

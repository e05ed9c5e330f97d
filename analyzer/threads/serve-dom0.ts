import { workerData } from 'node:worker_threads';
import { isTraceError } from '../../trace/errors.ts';
import { streamSource } from '../../trace/open-files.ts';
import { traceDirectory } from '../../trace/open.ts';
import { Dom0Side } from '../dom0-side.ts';
import type { TraceView } from '../view.ts';
import type { Dom0Job, Dom0Outcome, Dom0ThreadData } from './dom0-thread.ts';
import { DOM0_ROLE } from './dom0-thread.ts';
import { RingWriter } from './ring-tape.ts';

/** What a Dom0Thread runs: waits for its job, reads, writes, and says at the end what came of it. */
export function serveDom0Thread(): void {
  const { role, port } = workerData as Dom0ThreadData | { role: string; port: never };
  if (role !== DOM0_ROLE) throw new Error('a thread without its job');
  port.once('message', (job: Dom0Job) => {
    const end = (outcome: Dom0Outcome): void => {
      port.postMessage(outcome);
    };
    const writer = new RingWriter(job.ring);
    try {
      const side = new Dom0Side(viewOf(job), job.found, writer);
      while (side.step());
      side.close();
      end({ results: side.results() });
      writer.tell();
    } catch (error) {
      const code = isTraceError(error) ? error.code : undefined;
      end({ failure: { code, message: error instanceof Error ? error.message : String(error) } });
      writer.fail();
    }
    port.close();
  });
}

function viewOf({ dir, manifest }: Dom0Job): TraceView {
  const files = traceDirectory(dir);
  return { manifest, source: (id) => ({ batches: () => streamSource(files, id) }) };
}

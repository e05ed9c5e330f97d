import { ANALYSIS_BLOCK } from '../analyzer/page/page-format.ts';
import type { Analysed, AnalysisReply, AnalysisRequest } from './analysis/analysed.ts';
import { unpack } from './unpack.ts';

/**
 * Analyses a trace's files in a worker of its own, by the script that the page holds for it. Rejects with what is wrong
 * with the trace, or with the page.
 */
export async function analyse(request: AnalysisRequest, onRead: (bytes: number) => void): Promise<Analysed> {
  const script = document.getElementById(ANALYSIS_BLOCK)?.textContent;
  if (script === undefined)
    throw new Error('this page takes pages only; that of trace view --empty takes traces');
  const text = await unpack(script);
  return new Promise((done, failed) => {
    const worker = new Worker(URL.createObjectURL(new Blob([text as Uint8Array<ArrayBuffer>])));
    const end = (then: () => void): void => {
      worker.terminate();
      then();
    };
    worker.addEventListener('message', ({ data }: MessageEvent<AnalysisReply>) => {
      if ('read' in data) onRead(data.read);
      else if ('analysed' in data)
        end(() => {
          done(data.analysed);
        });
      else
        end(() => {
          failed(new Error(data.failed));
        });
    });
    worker.addEventListener('error', ({ message }) => {
      end(() => {
        failed(new Error(message));
      });
    });
    worker.postMessage(request);
  });
}

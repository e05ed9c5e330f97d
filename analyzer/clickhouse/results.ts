import type { PassResults } from '../analyze.ts';
import { LossWindows } from '../passes/loss-windows.ts';
import type { RecordingEdges } from '../passes/recording-edges.ts';
import { SEEN } from '../passes/recording-edges.ts';
import type { HistogramState } from '../stats/histogram.ts';
import { Histogram } from '../stats/histogram.ts';

type Plain = Omit<
  PassResults,
  'scouted' | 'recordingEdges' | 'outside' | 'xenSource' | 'dom0Source' | 'delivered'
>;

/** What the passes counted, as the JSON that is kept with a trace in the database. */
interface StoredResults extends Plain {
  scouted: {
    domid: number | null;
    vcpus: number;
    pids: number[];
    vcpuOfPort: [number, number][];
    portsBy: string;
    answers: number;
  };
  recordingEdges: { ioreqs: number; statusReads: number; notHeld: Record<string, number> };
  delivered: number | null;
  outside: HistogramState | null;
  xenSource: string | null;
  dom0Source: string | null;
}

export function storeResults(results: PassResults): string {
  const { scouted, recordingEdges: edges, outside, xenSource, dom0Source, delivered, ...plain } = results;
  const bits = Object.values(SEEN);
  const stored: StoredResults = {
    ...plain,
    scouted: {
      domid: scouted.domid ?? null,
      vcpus: scouted.vcpus,
      pids: scouted.pids,
      vcpuOfPort: [...scouted.vcpuOfPort],
      portsBy: scouted.portsBy,
      answers: scouted.answers,
    },
    recordingEdges: {
      ioreqs: edges.ioreqs,
      statusReads: edges.statusReads,
      notHeld: Object.fromEntries(bits.map((bit) => [bit, edges.notHeld(bit)])),
    },
    delivered: delivered ?? null,
    outside: outside?.state() ?? null,
    xenSource: xenSource?.id ?? null,
    dom0Source: dom0Source?.id ?? null,
  };
  return JSON.stringify(stored, (_key, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? { number: String(value) } : value,
  );
}

/** `text` is what storeResults gave; the windows of losses are not kept: only the passes ask for them. */
export function restoreResults(text: string, manifest: { sources: readonly { id: string }[] }): PassResults {
  const stored = JSON.parse(text, (_key, value: unknown) => {
    const number = typeof value === 'object' && value !== null ? Object.entries(value) : [];
    return number.length === 1 && number[0]![0] === 'number' ? Number(number[0]![1]) : value;
  }) as StoredResults;
  const { scouted, recordingEdges, outside, xenSource, dom0Source, delivered, ...plain } = stored;
  const facts = manifest.sources as readonly NonNullable<PassResults['xenSource']>[];
  const edges: Pick<RecordingEdges, 'ioreqs' | 'statusReads' | 'notHeld'> = {
    ioreqs: recordingEdges.ioreqs,
    statusReads: recordingEdges.statusReads,
    notHeld: (bit) => recordingEdges.notHeld[String(bit)] ?? 0,
  };
  return {
    ...plain,
    hooks: { ...plain.hooks, service: plain.hooks.service },
    scouted: {
      ...scouted,
      domid: scouted.domid ?? undefined,
      vcpuOfPort: new Map(scouted.vcpuOfPort),
      xenLosses: new LossWindows(),
      dom0Losses: new LossWindows(),
    },
    // Nothing is added to them any more: the counts are all that a report asks for.
    recordingEdges: edges as RecordingEdges,
    delivered: delivered ?? undefined,
    outside: outside === null ? undefined : Histogram.restore(outside),
    xenSource: facts.find((s) => s.id === xenSource),
    dom0Source: facts.find((s) => s.id === dom0Source),
  };
}

import type { Stop } from '../debug/session.ts';
import { divergenceLines } from '../debug/texts.ts';

/** What a stopped event says besides the thread. */
export interface StoppedBy {
  reason: string;
  description?: string;
  text?: string;
  hitBreakpointIds?: number[];
}

/** `byName`: ids of the breakpoints that have a name instead of a line. */
export function stoppedBy(stop: Stop, byName: readonly number[]): StoppedBy {
  switch (stop.why) {
    case 'breakpoint': {
      const { id } = stop.breakpoint;
      const reason = byName.includes(id) ? 'function breakpoint' : 'breakpoint';
      return { reason, ...(id > 0 ? { hitBreakpointIds: [id] } : {}) };
    }
    case 'divergence':
      return told('exception', divergenceLines(stop.divergence)[0]!);
    case 'interrupted':
      return { reason: 'pause' };
    case 'gave up':
      return told('pause', `the replay gave up: ${stop.text}`);
    case 'step':
      return { reason: 'step' };
    case 'begin':
      return told('entry', 'the begin of the recording');
    case 'end':
      return told('pause', 'the end of the recording; continue once more to compare what is left');
  }
}

function told(reason: string, description: string): StoppedBy {
  return { reason, description, text: description };
}

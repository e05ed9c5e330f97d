import { MANIFEST_FILE } from '../trace/manifest.ts';
import { openTrace } from '../trace/open.ts';
import { replaceFile } from '../trace/replace-file.ts';
import { findingsOf } from './findings.ts';
import { scout } from './scout.ts';
import { timedStreams } from './view.ts';

/**
 * Looks over the events of a finished trace once and writes into its manifest what every analysis would have to look
 * for first. A trace that is damaged or lacks records is left as it is. Throws as openTrace does, and E_WRITE.
 */
export function keepFindings(dir: string): void {
  const trace = openTrace(dir);
  const { manifest, damage } = trace;
  if (!manifest.complete || damage.length > 0) return;
  const { xen, dom0, xenFacts } = timedStreams(trace);
  const scouted = scout(manifest, xen, dom0, BigInt(xenFacts?.clock.epoch ?? '0'));
  const findings = findingsOf(manifest, xen, dom0, scouted);
  if (findings === undefined) return;
  replaceFile(dir, MANIFEST_FILE, `${JSON.stringify({ ...manifest, findings }, null, 2)}\n`);
}

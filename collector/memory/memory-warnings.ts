import type { MemoryFacts } from '../../trace/recording-facts.ts';

/** What readers of such a recording must know; each stands in the manifest. */
export function memoryWarnings(facts: MemoryFacts): string[] {
  const { slower, synthesised, inFlight, racy, lost } = facts;
  const by =
    slower === undefined ? '' : `: in the device model an ioreq took at least ${slower} times as long`;
  const warnings = [`guest memory was recorded: no latency of this recording is the guest's own${by}`];
  if (synthesised > 0)
    warnings.push(
      `${count(synthesised, 'device')} in use already when recording began: the set-up is what the device model told, not what was seen`,
    );
  if (inFlight > 0)
    warnings.push(
      `${count(inFlight, 'buffer')} with the devices when recording began: a replay does them again, in the order of the ring`,
    );
  if (racy > 0)
    warnings.push(
      `${count(racy, 'used element')} may have changed before the copy: a replay cannot prove them`,
    );
  if (lost > 0) warnings.push(`${count(lost, 'chain or ring')} could not be recorded`);
  return warnings;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

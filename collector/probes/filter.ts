/**
 * A kernel event filter that is true for any of `values`: runs of neighbours become ranges, since a filter is cut
 * off at 4096 bytes (linux kernel/trace/trace_events.c). Never '' for an empty list: that would let all through.
 */
export function filterAnyOf(field: string, values: readonly number[]): string {
  const sorted = [...new Set(values)].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let i = 0; i < sorted.length;) {
    let end = i;
    while (end + 1 < sorted.length && sorted[end + 1] === sorted[end]! + 1) end++;
    const [first, last] = [sorted[i]!, sorted[end]!];
    parts.push(first === last ? `${field}==${first}` : `(${field}>=${first}&&${field}<=${last})`);
    i = end + 1;
  }
  return parts.length === 0 ? `${field}==-1` : parts.join('||');
}

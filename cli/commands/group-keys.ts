import type { GroupKey } from '../../analyzer/stats/group-key.ts';
import { GROUP_KEYS } from '../../analyzer/stats/group-key.ts';
import { TraceError } from '../../trace/errors.ts';

/** Parser of --by: keys with commas between them. */
export function parseKeys(text: string): GroupKey[] {
  const keys = text.split(',').map((key) => key.trim());
  for (const key of keys) {
    if (!(GROUP_KEYS as readonly string[]).includes(key)) {
      throw new TraceError('E_USAGE', 'unknown grouping', { expected: GROUP_KEYS.join(', '), got: key });
    }
  }
  return [...new Set(keys)] as GroupKey[];
}

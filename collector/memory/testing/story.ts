import { BASE } from './recorded.ts';

export type Row = Record<string, unknown> & { t: string };
export const rows = (text: string): Row[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Row);

/** Records from the first of tag M on, payloads as lengths: what a reader wants to see of them. */
export function story(text: string): string[] {
  const all = rows(text);
  return all.slice(all.findIndex(({ t, why }) => t === 'M' && why !== undefined)).map((row) => {
    switch (row.t) {
      case 'M':
        return `M ${String(row['why'])} ${String(row['n'])}`;
      case 'N':
        return `N q${String(row['q'])} adv ${String(row['adv'])} late ${JSON.stringify(row['late'])}`;
      case 'U':
        return `U q${String(row['q'])} adv ${String(row['adv'])}`;
      case 'X':
        return `X ${typeof row['at'] === 'string' ? row['at'] : 'status'} ${(row['u'] as UsedText[]).map(usedText).join(' ')}`;
      case 'I':
        return `I ${String(row['l'])}`;
      default:
        return `${row.t} 0x${(Number(row['a']) - BASE).toString(16)} ${String(row['v'])}`;
    }
  });
}

interface UsedText {
  q: number;
  idx: number;
  el: { id: number; len: number; at?: number; racy?: true; h?: { ty: number; sec: number } }[];
}

const usedText = ({ q, idx, el }: UsedText): string =>
  `q${q}@${idx}: ${el
    .map(({ id, len, at, racy, h }) => {
      const more = `${at === undefined ? '' : `@${at}`}${racy ? ' racy' : ''}`;
      return `${id}/${len}${more}${h === undefined ? '' : ` sector ${h.sec}`}`;
    })
    .join(', ')}`;

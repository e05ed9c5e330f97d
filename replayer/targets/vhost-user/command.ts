import { TraceError } from '../../../trace/errors.ts';

/** Splits a command line into words: blanks, '...', "..." and backslash as in a shell, nothing else of it. */
export function splitCommand(line: string): string[] {
  const words: string[] = [];
  let word = '';
  /** There is a word, if an empty one. */
  let inside = false;
  let quote = '';
  const take = (c: string): void => {
    word += c;
    inside = true;
  };
  for (let i = 0; i < line.length; i++) {
    const c = line[i]!;
    const escapes = c === '\\' && quote !== "'" && i + 1 < line.length;
    if (escapes) take(line[++i]!);
    else if (c === quote) quote = '';
    else if (quote !== '') take(c);
    else if (c === "'" || c === '"') {
      quote = c;
      inside = true;
    } else if (!/\s/.test(c)) take(c);
    else if (inside) {
      words.push(word);
      word = '';
      inside = false;
    }
  }
  if (inside) words.push(word);
  if (quote !== '' || words.length === 0)
    throw new TraceError('E_USAGE', `${JSON.stringify(line)} is no command line`, {
      expected: quote === '' ? 'a program and its arguments' : `a closing ${quote}`,
    });
  return words;
}

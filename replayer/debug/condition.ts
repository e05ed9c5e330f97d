import { TraceError } from '../../trace/errors.ts';

/** A value that a condition can name; undefined where there is none, which makes every comparison false. */
export type Lookup = (name: string) => number | undefined;

export interface Condition {
  readonly text: string;
  /** Names in it that are not constants. */
  readonly names: ReadonlySet<string>;
  holds(lookup: Lookup): boolean;
}

type Node = (lookup: Lookup) => number | undefined;

const TOKEN = /\s*(0x[0-9a-f]+|[0-9]+|[a-z_][a-z0-9_.-]*|&&|\|\||[=!<>]=|[<>!()&])/iy;
const COMPARISONS: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
};

/** Deepest nesting of parentheses and negations. */
const DEEPEST = 32;

/**
 * A condition: `value == 3 && (sector >= 0x800 || !(type == write))`. Numbers are decimal or 0x; `a & b` is the
 * bitwise and of two numbers; a number alone holds if it is not 0. `names`: values that can be asked for;
 * `constants`: words for numbers. Throws E_USAGE at what it does not understand.
 */
export function parseCondition(
  text: string,
  names: readonly string[],
  constants: ReadonlyMap<string, number>,
): Condition {
  const tokens = tokensOf(text);
  const used = new Set<string>();
  let at = 0;
  const wrong = (expected: string): never => {
    const got = tokens[at] ?? 'the end';
    throw new TraceError('E_USAGE', `the condition "${text}" is not understood`, { expected, got });
  };
  const take = (token: string): boolean => {
    if (tokens[at] !== token) return false;
    at++;
    return true;
  };
  const either = (depth: number): Node => {
    let left = both(depth);
    while (take('||')) {
      const [a, b] = [left, both(depth)];
      left = (lookup) => (truth(a(lookup)) || truth(b(lookup)) ? 1 : 0);
    }
    return left;
  };
  const both = (depth: number): Node => {
    let left = compare(depth);
    while (take('&&')) {
      const [a, b] = [left, compare(depth)];
      left = (lookup) => (truth(a(lookup)) && truth(b(lookup)) ? 1 : 0);
    }
    return left;
  };
  const compare = (depth: number): Node => {
    const left = masked(depth);
    const test = COMPARISONS[tokens[at] ?? ''];
    if (test === undefined) return left;
    at++;
    const right = masked(depth);
    return (lookup) => {
      const [a, b] = [left(lookup), right(lookup)];
      return a !== undefined && b !== undefined && test(a, b) ? 1 : 0;
    };
  };
  const masked = (depth: number): Node => {
    let left = primary(depth);
    while (take('&')) {
      const [a, b] = [left, primary(depth)];
      left = (lookup) => {
        const [x, y] = [a(lookup), b(lookup)];
        return x === undefined || y === undefined ? undefined : (x & y) >>> 0;
      };
    }
    return left;
  };
  const primary = (depth: number): Node => {
    if (depth > DEEPEST) wrong('less nesting');
    if (take('!')) {
      const inner = primary(depth + 1);
      return (lookup) => (truth(inner(lookup)) ? 0 : 1);
    }
    if (take('(')) {
      const inner = either(depth + 1);
      if (!take(')')) wrong(')');
      return inner;
    }
    const token = tokens[at] ?? '';
    if (/^[0-9]/.test(token)) {
      at++;
      const value = Number(token);
      return () => value;
    }
    const constant = constants.get(token.toLowerCase());
    if (!names.includes(token) && constant === undefined) wrong(`a number or ${names.join(', ')}`);
    at++;
    if (constant !== undefined && !names.includes(token)) return () => constant;
    used.add(token);
    return (lookup) => lookup(token);
  };
  const root = either(0);
  if (at < tokens.length) wrong('&&, || or the end');
  return { text: text.trim(), names: used, holds: (lookup) => truth(root(lookup)) };
}

function truth(value: number | undefined): boolean {
  return value !== undefined && value !== 0;
}

function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  const token = new RegExp(TOKEN);
  const end = text.trimEnd().length;
  while (token.lastIndex < end) {
    const from = token.lastIndex;
    const found = token.exec(text);
    if (found === null) {
      throw new TraceError('E_USAGE', `the condition "${text}" is not understood`, {
        got: text.slice(from).trim(),
      });
    }
    tokens.push(found[1]!);
  }
  return tokens;
}

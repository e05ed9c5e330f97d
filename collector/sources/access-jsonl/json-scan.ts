/**
 * Just enough JSON (RFC 8259) to walk a line member by member without turning numbers into doubles, which
 * would round 64-bit values. Every function gives the place after what it read.
 */
export const MAX_DEPTH = 64;

/** Where a line stops being what it should be. `at` counts UTF-16 units in the line. */
export class LineFault extends Error {
  readonly at: number;
  readonly expected: string;

  constructor(at: number, expected: string) {
    super(expected);
    this.at = at;
    this.expected = expected;
  }
}

export function skipSpace(text: string, at: number): number {
  let i = at;
  for (;;) {
    const c = text.charCodeAt(i);
    if (c !== 0x20 && c !== 0x09 && c !== 0x0d && c !== 0x0a) return i;
    i++;
  }
}

/** Skips space, then the one character. */
export function expectChar(text: string, at: number, char: string): number {
  const i = skipSpace(text, at);
  if (text[i] !== char) throw new LineFault(i, `'${char}'`);
  return i + 1;
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/uy;
const HEX4 = /[0-9a-fA-F]{4}/uy;

/** End of the string that starts at `at`. A loop, as a pattern would need stack for a string of megabytes. */
export function skipString(text: string, at: number): number {
  if (text[at] !== '"') throw new LineFault(at, 'a string');
  for (let i = at + 1; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) return i + 1;
    if (c < 0x20) throw new LineFault(i, 'no control character in a string');
    if (c !== BACKSLASH) continue;
    i++;
    if (text[i] === 'u') {
      HEX4.lastIndex = i + 1;
      if (!HEX4.test(text)) throw new LineFault(i, 'four hexadecimal digits');
      i += 4;
    } else if (!'"\\/bfnrt'.includes(text[i] ?? ' ')) {
      throw new LineFault(i, 'an escape of JSON');
    }
  }
  throw new LineFault(text.length, 'the end of a string');
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** End of the value that starts at `at` (after space), whatever it is; checks all of it. No recursion. */
export function skipValue(text: string, at: number): number {
  const closers: string[] = [];
  let i = at;
  for (;;) {
    i = skipSpace(text, i);
    const c = text[i];
    if (c === '[' || c === '{') {
      if (closers.length >= MAX_DEPTH) throw new LineFault(i, `at most ${MAX_DEPTH} levels`);
      const close = c === '[' ? ']' : '}';
      const next = skipSpace(text, i + 1);
      if (text[next] !== close) {
        closers.push(close);
        i = close === '}' ? skipKey(text, next) : next;
        continue;
      }
      i = next + 1;
    } else {
      i = skipScalar(text, i);
    }
    // A value is complete: close what it completes, or go on to the next one.
    for (;;) {
      const close = closers.at(-1);
      if (close === undefined) return i;
      i = skipSpace(text, i);
      if (text[i] === ',') {
        i = close === '}' ? skipKey(text, i + 1) : i + 1;
        break;
      }
      if (text[i] !== close) throw new LineFault(i, `',' or '${close}'`);
      closers.pop();
      i++;
    }
  }
}

function skipKey(text: string, at: number): number {
  return expectChar(text, skipString(text, skipSpace(text, at)), ':');
}

function skipScalar(text: string, at: number): number {
  if (text[at] === '"') return skipString(text, at);
  for (const word of ['true', 'false', 'null']) {
    if (text.startsWith(word, at)) return at + word.length;
  }
  NUMBER.lastIndex = at;
  if (NUMBER.test(text)) return NUMBER.lastIndex;
  throw new LineFault(at, 'a value');
}

/** One member of an object: where its value lies and what its key is. */
export interface Member {
  key: string;
  keyAt: number;
  valueAt: number;
  valueEnd: number;
}

/** Walks the object at `at`; gives the place after it. The member is reused between calls of `visit`. */
export function eachMember(text: string, at: number, visit: (member: Member) => void): number {
  const member: Member = { key: '', keyAt: 0, valueAt: 0, valueEnd: 0 };
  let i = expectChar(text, at, '{');
  if (text[skipSpace(text, i)] === '}') return skipSpace(text, i) + 1;
  for (;;) {
    member.keyAt = skipSpace(text, i);
    const keyEnd = skipString(text, member.keyAt);
    const raw = text.slice(member.keyAt, keyEnd);
    member.key = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1);
    member.valueAt = skipSpace(text, expectChar(text, keyEnd, ':'));
    member.valueEnd = skipValue(text, member.valueAt);
    visit(member);
    i = skipSpace(text, member.valueEnd);
    if (text[i] === '}') return i + 1;
    if (text[i] !== ',') throw new LineFault(i, "',' or '}'");
    i++;
  }
}

/** Calls `visit` with the place of every element of the array at `at`. */
export function eachElement(text: string, at: number, visit: (at: number) => void): number {
  let i = skipSpace(text, expectChar(text, at, '['));
  if (text[i] === ']') return i + 1;
  for (;;) {
    i = skipSpace(text, i);
    visit(i);
    i = skipSpace(text, skipValue(text, i));
    if (text[i] === ']') return i + 1;
    if (text[i] !== ',') throw new LineFault(i, "',' or ']'");
    i++;
  }
}

/**
 * Matching of one printf-style line against its format string, by character codes. A format is compiled
 * once; matching allocates nothing and leaves every conversion as two u32 halves in `ScanArgs`, the same
 * shape in which the simple trace backend stores its arguments (u64 each).
 *
 * Conversions (a subset of C's, named as in QEMU's trace-events files, length modifiers dropped):
 * `%d` `%u` decimal, 32 bits; `%U` decimal, 64 bits (PRIu64, %zu); `%D` decimal, 64 bits, signed (%zd);
 * `%x` hexadecimal, 64 bits; `%X` hexadecimal, 32 bits; `%p` a pointer as glibc prints it: 0x... or (nil).
 */
export const MAX_SCAN_ARGS = 12;

/** Conversion results of the last match: 64-bit values as two halves, 32-bit ones sign-extended if signed. */
export class ScanArgs {
  readonly lo = new Uint32Array(MAX_SCAN_ARGS);
  readonly hi = new Uint32Array(MAX_SCAN_ARGS);
  count = 0;
}

const OP_LITERAL = 0;
const OP_INT32 = 1;
const OP_UINT32 = 2;
const OP_UINT64 = 3;
const OP_INT64 = 4;
const OP_HEX64 = 5;
const OP_HEX32 = 6;
const OP_POINTER = 7;

const OP_OF: Readonly<Record<string, number>> = {
  d: OP_INT32,
  u: OP_UINT32,
  U: OP_UINT64,
  D: OP_INT64,
  x: OP_HEX64,
  X: OP_HEX32,
  p: OP_POINTER,
};

/** A compiled format: `ops[i]` is a conversion, or OP_LITERAL with its characters in `literals[i]`. */
export interface ScanFormat {
  readonly ops: Uint8Array;
  readonly literals: readonly Uint8Array[];
  readonly args: number;
}

/** Throws RangeError on a format outside the subset: a fault of the table it stands in. */
export function compileFormat(format: string): ScanFormat {
  const ops: number[] = [];
  const literals: Uint8Array[] = [];
  let args = 0;
  for (const part of format.split(/(%[A-Za-z])/u)) {
    if (part === '') continue;
    if (part.startsWith('%')) {
      const op = OP_OF[part.slice(1)];
      if (op === undefined || ++args > MAX_SCAN_ARGS) throw new RangeError(`bad format ${format}`);
      ops.push(op);
      literals.push(new Uint8Array(0));
    } else {
      ops.push(OP_LITERAL);
      literals.push(Uint8Array.from(part, (c) => c.charCodeAt(0)));
    }
  }
  return { ops: Uint8Array.from(ops), literals, args };
}

/** True if `text` from `start` to `end` is exactly `format`; then `into` holds the conversions. */
export function matchFormat(
  format: ScanFormat,
  text: string,
  start: number,
  end: number,
  into: ScanArgs,
): boolean {
  let at = start;
  let arg = 0;
  for (let i = 0; i < format.ops.length; i++) {
    const op = format.ops[i]!;
    if (op === OP_LITERAL) {
      const literal = format.literals[i]!;
      if (literal.length > end - at) return false;
      for (let j = 0; j < literal.length; j++) {
        if (text.charCodeAt(at + j) !== literal[j]!) return false;
      }
      at += literal.length;
    } else {
      at = matchNumber(op, text, at, end, into, arg++);
      if (at < 0) return false;
    }
  }
  into.count = arg;
  return at === end;
}

/** Place after the number at `at`, or -1 if there is none that fits. */
function matchNumber(op: number, text: string, at: number, end: number, into: ScanArgs, arg: number): number {
  if (op === OP_HEX64) return scanHex(text, at, end, 16, into, arg);
  if (op === OP_POINTER) return scanPointer(text, at, end, into, arg);
  if (op === OP_HEX32) return scanHex(text, at, end, 8, into, arg);
  const signed = op === OP_INT32 || op === OP_INT64;
  const negative = signed && at < end && text.charCodeAt(at) === MINUS;
  const next = scanDecimal(text, negative ? at + 1 : at, end, into, arg);
  if (next < 0) return -1;
  const lo = into.lo[arg]!;
  const hi = into.hi[arg]!;
  if (op === OP_UINT32) return hi === 0 ? next : -1;
  if (op === OP_UINT64) return next;
  if (op === OP_INT32) {
    // Unsigned arguments that QEMU prints with %d come out negative from 2^31 on, never above 2^31-1.
    if (hi !== 0 || lo > (negative ? 0x80000000 : 0x7fffffff)) return -1;
  } else if (hi > 0x80000000 || (hi === 0x80000000 && (!negative || lo > 0))) {
    return -1;
  }
  if (negative) {
    into.lo[arg] = -lo;
    into.hi[arg] = lo === 0 ? -hi : ~hi;
  }
  return next;
}

const MINUS = 0x2d;

/** Hexadecimal digits (either case) into element `arg`; place after them, -1 if none or over `digits`. */
export function scanHex(
  text: string,
  at: number,
  end: number,
  digits: number,
  into: ScanArgs,
  arg: number,
): number {
  let lo = 0;
  let hi = 0;
  let i = at;
  for (; i < end; i++) {
    let c = text.charCodeAt(i);
    if (c >= 0x30 && c <= 0x39) c -= 0x30;
    else if (c >= 0x61 && c <= 0x66) c -= 0x57;
    else if (c >= 0x41 && c <= 0x46) c -= 0x37;
    else break;
    if (i - at >= digits) return -1;
    hi = (hi << 4) | (lo >>> 28);
    lo = (lo << 4) | c;
  }
  if (i === at) return -1;
  into.lo[arg] = lo;
  into.hi[arg] = hi;
  return i;
}

/** Decimal digits of a value below 2^64 into element `arg`; place after them, -1 if none or too large. */
export function scanDecimal(text: string, at: number, end: number, into: ScanArgs, arg: number): number {
  let lo = 0;
  let hi = 0;
  let i = at;
  for (; i < end; i++) {
    const c = text.charCodeAt(i) - 0x30;
    if (c < 0 || c > 9) break;
    // Both products stay below 2^36, so they are exact.
    lo = lo * 10 + c;
    hi = hi * 10;
    if (lo > 0xffffffff) {
      const carry = Math.floor(lo / 0x100000000);
      lo -= carry * 0x100000000;
      hi += carry;
    }
    if (hi > 0xffffffff) return -1;
  }
  if (i === at) return -1;
  into.lo[arg] = lo;
  into.hi[arg] = hi;
  return i;
}

function scanPointer(text: string, at: number, end: number, into: ScanArgs, arg: number): number {
  if (at + 2 < end && text.charCodeAt(at) === 0x30 && text.charCodeAt(at + 1) === 0x78) {
    return scanHex(text, at + 2, end, 16, into, arg);
  }
  if (end - at >= 5 && text.startsWith('(nil)', at)) {
    into.lo[arg] = 0;
    into.hi[arg] = 0;
    return at + 5;
  }
  return -1;
}

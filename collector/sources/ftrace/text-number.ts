import { TWO_32 } from '../../../trace/columns.ts';

const HEX = /^0x([0-9a-fA-F]{1,16})$/;
const DECIMAL = /^-?\d{1,20}$/;

export function isInteger(text: string): boolean {
  return HEX.test(text) || DECIMAL.test(text);
}

/**
 * Writes an integer as the kernel prints it (0x... or decimal, perhaps negative) as two u32 halves, low
 * first, two's complement. False, and nothing written, if it is none or needs more than 64 bits.
 */
export function putInteger(into: Uint32Array, at: number, text: string): boolean {
  const hex = HEX.exec(text)?.[1];
  if (hex !== undefined) {
    into[at] = Number.parseInt(hex.slice(-8), 16);
    into[at + 1] = hex.length > 8 ? Number.parseInt(hex.slice(0, -8), 16) : 0;
    return true;
  }
  if (!DECIMAL.test(text)) return false;
  const value = Number(text);
  if (Number.isSafeInteger(value)) {
    into[at] = value % TWO_32;
    into[at + 1] = Math.floor(value / TWO_32);
    return true;
  }
  // Rare: only pointers and hashes printed in decimal are this large.
  const exact = BigInt(text);
  if (exact !== BigInt.asUintN(64, exact) && exact !== BigInt.asIntN(64, exact)) return false;
  into[at] = Number(BigInt.asUintN(32, exact));
  into[at + 1] = Number(BigInt.asUintN(32, exact >> 32n));
  return true;
}

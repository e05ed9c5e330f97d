import { TraceError } from '../../../trace/errors.ts';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  K: 2 ** 10,
  KiB: 2 ** 10,
  M: 2 ** 20,
  MiB: 2 ** 20,
  G: 2 ** 30,
  GiB: 2 ** 30,
};

/**
 * Bytes of a size such as '64M', '1.5GiB', '65536': K, M and G are powers of 1024, as KiB, MiB and GiB. Throws E_USAGE
 * for what is none, and for KB, MB and GB, which some take for powers of 1000.
 */
export function parseSize(text: string): number {
  const match = /^\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*$/.exec(text);
  if (match === null) throw usage(`'${text}' is no size`, 'a number and K, M or G, such as 64M', text);
  const unit = match[2]!;
  if (!Object.hasOwn(UNITS, unit)) {
    const clear = /^[KMG]B$/i.test(unit) ? `${unit[0]!.toUpperCase()}iB (powers of 1024)` : undefined;
    throw usage(`size '${text}' has no known unit`, clear ?? 'K, M, G, KiB, MiB or GiB', unit);
  }
  const bytes = Math.floor(Number(match[1]) * UNITS[unit]!);
  if (bytes < 1) throw usage(`size '${text}' is nothing`, 'at least 1 byte', text);
  if (!Number.isSafeInteger(bytes)) throw usage(`size '${text}' is too large`, 'less than 2^53 bytes', text);
  return bytes;
}

function usage(what: string, expected: string, got: string): TraceError {
  return new TraceError('E_USAGE', what, { expected, got: got === '' ? 'nothing' : got });
}

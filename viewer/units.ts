const FACTOR: Readonly<Record<string, number>> = { '': 1, ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9 };

/** A time as people type it (`1.25ms`, `+200us`, `3 s`; a bare number is ns) in ns; null if it is none. */
export function parseTime(text: string): { ns: number; relative: boolean } | null {
  const found = /^\s*([+-]?)(\d+(?:\.\d+)?)\s*([a-zµμ]*)\s*$/i.exec(text.replace(/[\u2009\u202f]/g, ''));
  const factor = FACTOR[found?.[3]?.toLowerCase() ?? '?'];
  if (found === null || factor === undefined) return null;
  const ns = Number(found[2]) * factor;
  return Number.isFinite(ns) ? { ns: found[1] === '-' ? -ns : ns, relative: found[1] !== '' } : null;
}

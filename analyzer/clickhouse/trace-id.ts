import { createHash } from 'node:crypto';
import type { Manifest } from '../../trace/manifest.ts';

/**
 * The id of a trace in a database: 16 hexadecimal digits made from what it holds, so that the same trace loaded
 * twice is known again wherever it lies. When and by which version it was imported does not matter.
 */
export function traceId(manifest: Manifest): string {
  const { domid, vcpus, host, devices, sources, clock, logClock, recording } = manifest;
  const held = { domid, vcpus, host, devices, sources, clock, logClock, recording };
  return createHash('sha256').update(canonical(held)).digest('hex').slice(0, 16);
}

const ID = /^[0-9a-f]{16}$/;

export function isTraceId(text: string): boolean {
  return ID.test(text);
}

/** JSON with the keys of every object in order: a manifest that went through other hands is the same. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item;
    return Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  });
}

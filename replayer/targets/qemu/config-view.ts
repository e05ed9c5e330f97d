import type { DevicePlan } from '../../target.ts';

/** Reads little-endian fields of a recorded configuration space; undefined where the recording shows nothing. */
export function recordedConfig({ config }: DevicePlan): (offset: number, size: number) => number | undefined {
  return (offset, size) => {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) {
      const at = offset + i;
      if (config === undefined || config.seen[at] === undefined || config.seen[at] === 0) return undefined;
      value = value * 256 + config.bytes[at]!;
    }
    return value;
  };
}

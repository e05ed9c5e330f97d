import { Recording } from '../../recording/load.ts';
import { ReplayRun } from '../../run.ts';
import type { MakeTarget } from '../../target.ts';
import { builtinTarget } from '../../targets/builtin.ts';
import { batchesOf, shared, sharedPresent } from '../../testing/recordings.ts';
import type { NewRun } from '../session.ts';

/** A block device recorded on a live Xen host: 600 records, 30 requests. */
const NAME = 'xen-arm-replay/blk-legacy.jsonl';
const DISK = 'xen-arm-replay/disk-start.img';

export function legacyPresent(): boolean {
  return sharedPresent(NAME) && sharedPresent(DISK);
}

let text: string | undefined;
let disk: Buffer | undefined;

export function legacyText(): string {
  return (text ??= shared(NAME).toString());
}

/** The recording, or a changed text of it, into the built-in models. */
export function legacy(
  jsonl: string = legacyText(),
  make: MakeTarget = builtinTarget(),
): { recording: Recording; newRun: NewRun } {
  const recording = new Recording(batchesOf(jsonl));
  disk ??= shared(DISK);
  const disks = new Map([[0, disk]]);
  return { recording, newRun: () => new ReplayRun(recording, make, { disks, checkpoints: true }) };
}

/** The text with the value of the read at a step changed. */
export function withWrongRead(text: string, step: number): string {
  const lines = text.split('\n');
  const at = lines.findIndex((line) => line.startsWith('{"t":"R"') && line.includes(`"i":${step}}`));
  if (at < 0) throw new Error(`no read at step ${step}`);
  lines[at] = lines[at]!.replace(/"v":(\d+)/, (_, value: string) => `"v":${Number(value) ^ 4}`);
  return lines.join('\n');
}

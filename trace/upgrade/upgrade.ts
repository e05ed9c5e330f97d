import type { EventColumns } from '../columns.ts';
import { TraceError } from '../errors.ts';
import { JsonValue } from '../json-check.ts';

export type JsonObject = Record<string, unknown>;

/**
 * Brings a trace of version `from` to version `from + 1` as it is read; files are never rewritten. One file
 * a version in this folder, listed in index.ts, and never changed after its release.
 */
export interface Upgrader {
  readonly from: number;
  /** What changed, in one line (docs/FORMAT.md, History). */
  readonly title: string;
  /** The manifest of the next version. May throw E_TRACE_DAMAGED; gets unchecked JSON. */
  manifest(old: JsonObject): JsonObject;
  /** Brings one batch over, where columns or kinds changed their meaning. */
  batch?(old: EventColumns): EventColumns;
}

export interface Upgraded {
  manifest: JsonObject;
  /** The version that the files have. */
  writtenAs: number;
  /** Applies every step to a batch; undefined if none of them changes batches. */
  batch: ((columns: EventColumns) => EventColumns) | undefined;
}

/**
 * Runs the chain from the version the manifest names up to `target`.
 * Throws E_TRACE_VERSION if it is newer than `target` or too old for the chain, E_TRACE_DAMAGED if it has none.
 */
export function upgrade(
  raw: unknown,
  file: string,
  upgraders: readonly Upgrader[],
  target: number,
): Upgraded {
  const root = new JsonValue(raw, '$', file);
  root.get('format').oneOf(['ioreq-trace']);
  const writtenAs = root.get('version').integer();
  if (writtenAs > target) {
    throw new TraceError(
      'E_TRACE_VERSION',
      'the trace was written by a newer ioreq-trace: update to read it',
      {
        source: file,
        expected: `format version ${target} or older`,
        got: String(writtenAs),
      },
    );
  }
  let manifest = raw as JsonObject;
  const batches: ((columns: EventColumns) => EventColumns)[] = [];
  for (let version = writtenAs; version < target; version++) {
    const step = upgraders.find((upgrader) => upgrader.from === version);
    if (step === undefined) {
      throw new TraceError('E_TRACE_VERSION', `format version ${version} cannot be read any more`, {
        source: file,
        expected: `version ${oldest(upgraders, target)} to ${target}`,
        got: String(writtenAs),
      });
    }
    manifest = { ...step.manifest(manifest), version: version + 1 };
    if (step.batch !== undefined) batches.push((columns) => step.batch!(columns));
  }
  if (batches.length === 0) return { manifest, writtenAs, batch: undefined };
  return { manifest, writtenAs, batch: (columns) => batches.reduce((now, step) => step(now), columns) };
}

function oldest(upgraders: readonly Upgrader[], target: number): number {
  let version = target;
  while (upgraders.some((upgrader) => upgrader.from === version - 1)) version--;
  return version;
}

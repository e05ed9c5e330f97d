import type { ByteInput } from '../../trace/bytes/input.ts';
import { MemoryInput } from '../../trace/bytes/input.ts';

/**
 * Random access to the bytes of one raw input. Decoders read through it in pieces, so that a file of any
 * size takes bounded memory. `name` is a path as the user gave it.
 */
export interface ByteSource extends ByteInput {
  close(): void;
}

/** Bytes that are in memory already. */
export class MemorySource extends MemoryInput implements ByteSource {
  close(): void {
    // Nothing is held open.
  }
}

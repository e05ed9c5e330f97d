import { GuestFault, type GuestMemory } from '../guest-memory.ts';
import { gather, part, totalLength, type Chain, type Segment } from '../queue/chain.ts';
import { BLK_HEADER_BYTES, BLK_T_BARRIER } from './block-format.ts';

/** A request as it lies in guest memory, not yet judged. Plain data. */
export interface BlockRequest {
  /** BLK_T_*, without the legacy barrier bit. */
  type: number;
  /** First sector; exact below 2^53, and no disk is larger. */
  sector: number;
  /** Data that the driver sends. */
  out: Segment[];
  /** Data that the driver wants. */
  in: Segment[];
  /** Where the status byte goes. */
  statusGpa: number;
  /** Bytes that the device counts as written: all that is device-writable, as QEMU counts. */
  written: number;
}

/**
 * Reads the request of a chain (VIRTIO 1.2, 5.2.6): header, data, and the status byte as the very last
 * device-writable byte, however the driver cuts them into buffers (2.7.4).
 */
export function parseBlockRequest(memory: GuestMemory, chain: Chain): BlockRequest {
  const last = chain.in.at(-1);
  if (last === undefined) throw new GuestFault('request', 'a block request without a status byte');
  const header = new Uint8Array(BLK_HEADER_BYTES);
  const got = gather(memory, chain.out, 0, header);
  if (got < BLK_HEADER_BYTES) throw new GuestFault('request', `a block request header of ${got} bytes`);
  const words = new DataView(header.buffer);
  const written = totalLength(chain.in);
  return {
    type: (words.getUint32(0, true) & ~BLK_T_BARRIER) >>> 0,
    sector: words.getUint32(8, true) + words.getUint32(12, true) * 0x1_0000_0000,
    out: part(chain.out, BLK_HEADER_BYTES),
    in: part(chain.in, 0, written - 1),
    statusGpa: last.gpa + last.length - 1,
    written,
  };
}

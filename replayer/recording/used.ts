import { TraceError } from '../../trace/errors.ts';
import { JsonValue } from '../../trace/json-check.ts';
import type { RecordedBuffer, RecordedElement, RecordedUsed } from '../target.ts';

/** Most bytes of one chain that can make sense: 2^16 descriptors are refused long before. */
const MOST_BYTES = 1 << 28;

/**
 * What a used record (tag X) says, one entry a queue: docs/ACCESS-JSONL.md. `rest` is the JSON text of the members
 * that have no column. Throws E_TRACE_DAMAGED with the step and the path of what is wrong.
 */
export function parseUsed(rest: string, transport: number, step: number): RecordedUsed[] {
  let value: unknown;
  try {
    value = JSON.parse(`{${rest}}`);
  } catch {
    throw new TraceError('E_TRACE_DAMAGED', 'a used record is not JSON', {
      source: `recording, step ${step}`,
    });
  }
  const record = new JsonValue(value, '$', `recording, step ${step}`);
  return record.get('u').list((ring) => parseRing(ring, transport), 65_536);
}

function parseRing(ring: JsonValue, transport: number): RecordedUsed {
  const size = ring.maybe('num', (num) => num.integer(1, 32_768));
  const elements = ring.maybe('el', (el) => el.list(parseElement, 65_536)) ?? [];
  if (elements.length > 0 && size === undefined) ring.get('num').integer(1, 32_768);
  return {
    transport,
    queue: ring.get('q').integer(0, 65_534),
    ring: ring.get('used').integer(0),
    index: ring.get('idx').integer(0, 65_535),
    size: size ?? 1,
    elements,
    ...(ring.maybe('packed', (packed) => packed.flag()) === true ? { packed: true } : {}),
  };
}

function parseElement(element: JsonValue): RecordedElement {
  const header = element.maybe('h', (h) => ({
    type: h.get('ty').integer(0, 0xffff_ffff),
    sector: h.maybe('sec', (sector) => sector.integer(0)) ?? 0,
  }));
  const at = element.maybe('at', (value) => value.integer(0, 65_535));
  const sha = element.maybe('sha', (value) => value.list(parseHash, 65_536));
  return {
    id: element.get('id').integer(0, 0xffff_ffff),
    len: element.get('len').integer(0, 0xffff_ffff),
    buffers: element.maybe('bufs', (bufs) => bufs.list(parseBuffer, 65_536)) ?? [],
    racy: element.maybe('racy', (racy) => racy.flag()) ?? false,
    ...(header === undefined ? {} : { request: header }),
    ...(at === undefined ? {} : { at }),
    ...(sha === undefined ? {} : { sha }),
  };
}

function parseBuffer(buffer: JsonValue): RecordedBuffer {
  const [gpa, text] = buffer.list((item) => item, 2);
  if (gpa === undefined || text === undefined) return buffer.fail('an address and bytes in base64');
  return { gpa: gpa.integer(0), bytes: Buffer.from(text.text(MOST_BYTES), 'base64') };
}

function parseHash(buffer: JsonValue): { gpa: number; length: number; sha256: string } {
  const [gpa, length, text] = buffer.list((item) => item, 3);
  if (gpa === undefined || length === undefined || text === undefined)
    return buffer.fail('an address, a length and a hash');
  return { gpa: gpa.integer(0), length: length.integer(0, MOST_BYTES), sha256: text.text(64) };
}

/** What a device wrote into a chain, one buffer after the other, at most `element.len` bytes. */
export function writtenBytes(element: RecordedElement): Uint8Array {
  return Buffer.concat(element.buffers.map(({ bytes }) => bytes)).subarray(0, element.len);
}

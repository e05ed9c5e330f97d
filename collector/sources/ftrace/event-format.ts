import { TraceError } from '../../../trace/errors.ts';

/** One field of an event's record as its `format` file declares it. */
export interface EventField {
  readonly name: string;
  /** Type as written, without array dimensions: 'unsigned long', '__data_loc char[]'. */
  readonly ctype: string;
  /** Dimensions as written ('[6]', '[]', '[TASK_COMM_LEN]'), '' for a scalar. */
  readonly dims: string;
  /** Byte offset from the start of the record (its common_type). */
  readonly offset: number;
  /** Bytes; 0 for a flexible array, which goes to the end of the record. */
  readonly size: number;
  readonly signed: boolean;
  /** Belongs to the header that every event has (common_type, common_pid ...). */
  readonly common: boolean;
  /** The field is a u32 that tells where the data is: low half offset, high half length. */
  readonly dataLoc: boolean;
  /** As dataLoc, with the offset counted from the end of the u32. */
  readonly relLoc: boolean;
}

/** A tracefs `events/SYSTEM/EVENT/format` file. Format: Linux Documentation/trace/events.rst, section 4. */
export interface EventFormat {
  /** '' if the source does not say. */
  readonly system: string;
  readonly name: string;
  readonly id: number;
  readonly fields: readonly EventField[];
  /** The `print fmt:` line as it stands; not interpreted. */
  readonly printFmt: string;
}

const FIELD = /^\s*field:\s*(.*?);\s*offset:\s*(\d+);\s*size:\s*(\d+);(?:\s*signed:\s*(\d+);)?\s*$/;
const DECLARATION = /^(.*?)([A-Za-z_]\w*)\s*((?:\[[^\]]*\])*)$/;

/** Ring-buffer records are at most a sub-buffer long; a larger offset can only be damage. */
const MAX_RECORD = 1 << 20;

/**
 * Parses one `format` file. Throws E_BAD_RECORD (source, byte offset of the offending line) if a line is not
 * of the format or a part is missing.
 */
export function parseEventFormat(text: string, source: string, system = ''): EventFormat {
  let name: string | undefined;
  let id: number | undefined;
  let printFmt: string | undefined;
  let inFormat = false;
  const fields: EventField[] = [];
  let offset = 0;
  for (const line of text.split('\n')) {
    const at = offset;
    offset += line.length + 1;
    if (line.trim() === '') continue;
    if (line.startsWith('name:')) name = line.slice(5).trim();
    else if (line.startsWith('ID:')) id = parseId(line, source, at);
    else if (line.startsWith('format:')) inFormat = true;
    else if (line.startsWith('print fmt:')) {
      printFmt = line.slice(10).trim();
      break;
    } else if (inFormat) fields.push(parseField(line, source, at));
    else throw bad(source, at, 'name:, ID:, format: or print fmt:', line);
  }
  if (name === undefined || name === '') throw bad(source, 0, 'a line "name: EVENT"', 'none');
  if (id === undefined) throw bad(source, 0, 'a line "ID: NUMBER"', 'none');
  checkCommon(fields, source);
  return { system, name, id, fields, printFmt: printFmt ?? '' };
}

function parseId(line: string, source: string, at: number): number {
  const digits = line.slice(3).trim();
  const id = Number(digits);
  // common_type is a u16 and ids start at 1.
  if (!/^\d+$/.test(digits) || id < 1 || id > 0xffff) throw bad(source, at, 'ID: 1 to 65535', line);
  return id;
}

function parseField(line: string, source: string, at: number): EventField {
  const match = FIELD.exec(line);
  const declaration = DECLARATION.exec(match?.[1]?.trim() ?? '');
  if (match === null || declaration === null) {
    throw bad(source, at, 'field:TYPE NAME; offset:N; size:N; signed:N;', line);
  }
  const [offset, size] = [Number(match[2]), Number(match[3])];
  if (offset + size > MAX_RECORD) throw bad(source, at, `a field within ${MAX_RECORD} bytes`, line);
  const ctype = (declaration[1] ?? '').trim();
  const name = declaration[2] ?? '';
  return {
    name,
    ctype,
    dims: declaration[3] ?? '',
    offset,
    size,
    signed: match[4] === '1',
    common: name.startsWith('common_'),
    dataLoc: ctype.startsWith('__data_loc'),
    relLoc: ctype.startsWith('__rel_loc'),
  };
}

/** Every decoder relies on common_type and common_pid, so a format without them is not usable. */
function checkCommon(fields: readonly EventField[], source: string): void {
  const type = fields.find((f) => f.name === 'common_type');
  const pid = fields.find((f) => f.name === 'common_pid');
  if (type?.offset !== 0 || type.size !== 2) {
    throw bad(source, 0, 'field common_type of 2 bytes at offset 0', 'none');
  }
  if (pid?.size !== 4) throw bad(source, 0, 'field common_pid of 4 bytes', 'none');
}

function bad(source: string, offset: number, expected: string, got: string): TraceError {
  const shown = got.length > 80 ? `${got.slice(0, 80)}...` : got;
  return new TraceError('E_BAD_RECORD', 'event format is damaged', {
    source,
    offset,
    expected,
    got: got === 'none' ? got : JSON.stringify(shown.trim()),
  });
}

/** Where a sub-buffer page keeps its parts. Source: tracefs `events/header_page`. */
export interface PageLayout {
  /** Bytes of a whole sub-buffer. */
  readonly pageBytes: number;
  /** Bytes of the commit word: the kernel's `long`, also the size of a stored lost count. */
  readonly commitBytes: number;
  /** Offset of the first event. */
  readonly dataOffset: number;
}

/** What 64-bit kernels with 4 KiB sub-buffers use. */
export const DEFAULT_PAGE_LAYOUT: PageLayout = { pageBytes: 4096, commitBytes: 8, dataOffset: 16 };

/** Parses `events/header_page`. Throws E_BAD_RECORD if it does not describe a page that can be walked. */
export function parseHeaderPage(text: string, source: string): PageLayout {
  const fields = new Map<string, EventField>();
  let offset = 0;
  for (const line of text.split('\n')) {
    if (line.trim() !== '') {
      const field = parseField(line, source, offset);
      fields.set(field.name, field);
    }
    offset += line.length + 1;
  }
  const timestamp = fields.get('timestamp');
  const commit = fields.get('commit');
  const data = fields.get('data');
  if (timestamp?.offset !== 0 || timestamp.size !== 8) throw bad(source, 0, 'u64 timestamp at 0', 'none');
  if (commit?.offset !== 8 || (commit.size !== 4 && commit.size !== 8)) {
    throw bad(source, 0, 'a commit word of 4 or 8 bytes at 8', 'none');
  }
  if (data === undefined || data.offset < 8 + commit.size || data.offset % 4 !== 0 || data.size < 16) {
    throw bad(source, 0, 'a data field behind the commit word', 'none');
  }
  return { pageBytes: data.offset + data.size, commitBytes: commit.size, dataOffset: data.offset };
}

/** The formats of one capture, by the id that its records carry. */
export class EventFormats {
  readonly byId = new Map<number, EventFormat>();
  page: PageLayout = DEFAULT_PAGE_LAYOUT;

  /** Parses and keeps one `format` file. Throws E_BAD_RECORD; a later format of the same id replaces the first. */
  add(text: string, source: string, system = ''): EventFormat {
    const format = parseEventFormat(text, source, system);
    this.byId.set(format.id, format);
    return format;
  }

  addHeaderPage(text: string, source: string): void {
    this.page = parseHeaderPage(text, source);
  }

  get size(): number {
    return this.byId.size;
  }
}

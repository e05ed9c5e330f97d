import { isTraceError } from '../../../trace/errors.ts';
import { MemorySource } from '../../input/byte-source.ts';
import { DatReader } from './dat-reader.ts';
import { inflate } from './inflate.ts';
import { readCmdlines, readEventFormats, readFtraceFormats, readHeaderInfo, type DatMeta } from './meta.ts';
import { applyTextOption, OPTION, optionReader, readBufferOption, readOption } from './options.ts';

const SECTION_COMPRESSED = 1;

/** Sections are linked by offsets; more of them than this is a loop that hostile data made. */
const MAX_OPTION_SECTIONS = 4096;

/**
 * Version 7: option sections linked by offset say where everything else is (trace-cmd,
 * trace-cmd.dat.v7.5.txt). `reader` stands behind the prolog's page size.
 */
export function readVersion7(reader: DatReader, meta: DatMeta): void {
  const compression = reader.cstring('the name of the compression');
  reader.cstring('the version of the compression');
  if (compression !== 'none' && compression !== 'zlib' && compression !== 'zstd') {
    reader.fail('compression is not known', 'none, zlib or zstd', JSON.stringify(compression.slice(0, 40)));
  }
  meta.compression = compression;
  const sections = new Map<number, number>();
  let at = reader.size('the offset of the options');
  const seen = new Set<number>();
  while (at !== 0) {
    if (seen.has(at) || seen.size > MAX_OPTION_SECTIONS) {
      reader.fail('option sections form a loop', 'another offset', `${at}`, at);
    }
    seen.add(at);
    at = readOptions(reader, at, meta, sections);
  }
  const { formats, tasks, errors } = meta;
  readPart(reader, meta, sections.get(OPTION.HEADER_INFO), (r) => {
    readHeaderInfo(r, formats);
  });
  readPart(reader, meta, sections.get(OPTION.FTRACE_EVENTS), (r) => {
    readFtraceFormats(r, formats, errors);
  });
  readPart(reader, meta, sections.get(OPTION.EVENT_FORMATS), (r) => {
    readEventFormats(r, formats, errors);
  });
  try {
    readPart(reader, meta, sections.get(OPTION.CMDLINES), (r) => {
      readCmdlines(r, tasks);
    });
  } catch (error) {
    // Events need no task names.
    if (!isTraceError(error)) throw error;
    errors.push(error);
  }
}

/** Gives the offset of the next option section, 0 if this was the last. */
function readOptions(file: DatReader, at: number, meta: DatMeta, sections: Map<number, number>): number {
  const { reader } = openSection(file, at, OPTION.DONE, meta);
  for (;;) {
    const option = readOption(reader);
    const data = optionReader(option, file.input.name);
    switch (option.id) {
      case OPTION.DONE:
        return option.data.length < 8 ? 0 : data.size('the offset of the next options');
      case OPTION.BUFFER: {
        const { sectionAt, buffer } = readBufferOption(data);
        file.pos = sectionAt;
        meta.buffers.push({ ...buffer, packed: readSectionHeader(file, OPTION.BUFFER) });
        break;
      }
      case OPTION.HEADER_INFO:
      case OPTION.FTRACE_EVENTS:
      case OPTION.EVENT_FORMATS:
      case OPTION.CMDLINES:
        sections.set(option.id, data.size('the offset of a section'));
        break;
      default:
        applyTextOption(option, meta);
    }
  }
}

/** Reads the header of a section at file.pos and tells whether the section is compressed. */
function readSectionHeader(file: DatReader, id: number): boolean {
  const at = file.pos;
  const got = file.u16('a section header');
  if (got !== id) file.fail('another section is here', `section ${id}`, `${got}`, at);
  const flags = file.u16('a section header');
  file.u32('a section header');
  return (flags & SECTION_COMPRESSED) !== 0;
}

function openSection(file: DatReader, at: number, id: number, meta: DatMeta): { reader: DatReader } {
  file.pos = at;
  const packed = readSectionHeader(file, id);
  file.size('the size of a section');
  if (!packed) return { reader: new DatReader(file.input, file.pos) };
  const packedSize = file.u32('the size of a compressed section');
  const size = file.u32('the size of a compressed section');
  const offset = file.pos;
  const bytes = file.bytes(packedSize, 'a compressed section');
  if (size > 64 << 20) file.fail('section size is not plausible', 'at most 64 MiB', `${size}`, offset - 4);
  const unpacked = inflate(meta.compression, bytes, size, file.input.name, offset);
  const name = `${file.input.name} (section ${id} at byte ${at}, unpacked)`;
  return { reader: new DatReader(new MemorySource(name, unpacked)) };
}

function readPart(
  file: DatReader,
  meta: DatMeta,
  at: number | undefined,
  read: (reader: DatReader) => void,
): void {
  if (at === undefined) return;
  // The section's id is that of the option that named it; openSection needs no check beyond its header.
  file.pos = at;
  const id = file.u16('a section header');
  read(openSection(file, at, id, meta).reader);
}

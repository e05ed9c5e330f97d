import type { DatReader } from './dat-reader.ts';
import {
  MAX_CPUS,
  readCmdlines,
  readEventFormats,
  readFtraceFormats,
  readHeaderInfo,
  type DatCpuData,
  type DatMeta,
} from './meta.ts';
import { applyTextOption, OPTION, optionReader, readOption } from './options.ts';
import { TraceError } from '../../../trace/errors.ts';

/**
 * Version 6: every part in a fixed order behind the prolog (trace-cmd, trace-cmd.dat.v6.5.txt). `reader`
 * stands behind the prolog's page size.
 */
export function readVersion6(reader: DatReader, meta: DatMeta): void {
  readHeaderInfo(reader, meta.formats);
  readFtraceFormats(reader, meta.formats, meta.errors);
  readEventFormats(reader, meta.formats, meta.errors);
  reader.skip(reader.u32('the size of kallsyms'), 'kallsyms');
  reader.skip(reader.u32('the size of the printk formats'), 'the printk formats');
  readCmdlines(reader, meta.tasks);
  let cpus = cpuCount(reader.u32('the number of CPUs'), reader);
  const instances: { at: number; name: string }[] = [];
  let tag = readTag(reader);
  if (tag === 'options') {
    for (;;) {
      const id = reader.u16('an option');
      if (id === OPTION.DONE) break;
      reader.pos -= 2;
      const option = readOption(reader);
      applyTextOption(option, meta);
      const data = optionReader(option, reader.input.name);
      if (id === OPTION.CPUCOUNT) cpus = cpuCount(data.u32('the number of CPUs'), reader);
      else if (id === OPTION.BUFFER) {
        instances.push({
          at: data.size('the offset of a buffer'),
          name: data.cstring('the name of a buffer'),
        });
      }
    }
    tag = readTag(reader);
  }
  readData(reader, tag, '', cpus, meta);
  for (const { at, name } of instances) {
    reader.pos = at;
    readData(reader, readTag(reader), name, cpus, meta);
  }
}

function readData(reader: DatReader, tag: string, name: string, count: number, meta: DatMeta): void {
  if (tag === 'latency') {
    throw new TraceError('E_UNSUPPORTED', 'the file holds a latency trace as text', {
      source: reader.input.name,
      offset: reader.pos,
      expected: 'recorded events ("flyrecord")',
      got: '"latency"',
    });
  }
  if (tag !== 'flyrecord')
    reader.fail('no event data here', '"flyrecord"', JSON.stringify(tag), reader.pos - 10);
  const cpus: DatCpuData[] = [];
  for (let cpu = 0; cpu < count; cpu++) {
    const offset = reader.size('the data offset of a CPU');
    cpus.push({ cpu, offset, size: reader.size('the data size of a CPU') });
  }
  meta.buffers.push({ name, clock: '', pageBytes: 0, packed: false, cpus });
}

function cpuCount(count: number, reader: DatReader): number {
  if (count > MAX_CPUS) reader.fail('number of CPUs is not plausible', `at most ${MAX_CPUS}`, `${count}`);
  return count;
}

/** Ten bytes, filled up with blanks and a NUL. */
function readTag(reader: DatReader): string {
  return reader.text(10, 'a section tag').replace(/[ \0]+$/, '');
}

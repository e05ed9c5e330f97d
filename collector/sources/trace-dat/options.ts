import { MemorySource } from '../../input/byte-source.ts';
import { DatReader } from './dat-reader.ts';
import { MAX_CPUS, type DatBuffer, type DatCpuData, type DatMeta } from './meta.ts';

/** Option ids (trace-cmd, Documentation/trace-cmd/trace-cmd.dat.v7.5.txt). Any other id is passed over. */
export const OPTION = {
  DONE: 0,
  CPUSTAT: 2,
  BUFFER: 3,
  TRACECLOCK: 4,
  CPUCOUNT: 8,
  HEADER_INFO: 16,
  FTRACE_EVENTS: 17,
  EVENT_FORMATS: 18,
  CMDLINES: 21,
} as const;

export interface DatOption {
  readonly id: number;
  readonly data: Buffer;
  /** File offset of the option, or its offset in the section that was unpacked. */
  readonly offset: number;
}

export function readOption(reader: DatReader): DatOption {
  const offset = reader.pos;
  const id = reader.u16('an option');
  const size = reader.u32('an option');
  return { id, data: reader.bytes(size, `option ${id}`), offset };
}

/** What both versions read the same way. */
export function applyTextOption(option: DatOption, meta: DatMeta): void {
  if (option.id === OPTION.CPUSTAT) meta.cpuStats.push(textOf(option.data));
  else if (option.id === OPTION.TRACECLOCK) meta.clock = textOf(option.data);
}

export function optionReader(option: DatOption, source: string): DatReader {
  return new DatReader(
    new MemorySource(`${source} (option ${option.id} at byte ${option.offset})`, option.data),
  );
}

/** Version 7 BUFFER: offset of its section, name, clock, page size, then each CPU's offset and size. */
export function readBufferOption(reader: DatReader): {
  sectionAt: number;
  buffer: Omit<DatBuffer, 'packed'>;
} {
  const sectionAt = reader.size('the offset of a buffer');
  const name = reader.cstring('the name of a buffer');
  const clock = reader.cstring('the clock of a buffer');
  const pageBytes = reader.u32('the page size of a buffer');
  const count = reader.u32('the number of CPUs of a buffer');
  if (count > MAX_CPUS) reader.fail('number of CPUs is not plausible', `at most ${MAX_CPUS}`, `${count}`);
  const cpus: DatCpuData[] = [];
  for (let i = 0; i < count; i++) {
    const cpu = reader.u32('a CPU number');
    if (cpu >= MAX_CPUS) reader.fail('CPU number is not plausible', `below ${MAX_CPUS}`, `${cpu}`);
    cpus.push({
      cpu,
      offset: reader.size('the data offset of a CPU'),
      size: reader.size('the data size of a CPU'),
    });
  }
  return { sectionAt, buffer: { name, clock, pageBytes, cpus } };
}

function textOf(data: Buffer): string {
  const stop = data.indexOf(0);
  return data.toString('utf8', 0, stop < 0 ? data.length : stop);
}

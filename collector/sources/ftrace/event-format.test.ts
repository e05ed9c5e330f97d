import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isTraceError } from '../../../trace/errors.ts';
import { parseEventFormat, parseHeaderPage } from './event-format.ts';
import { readFormatsDirectory } from './format-directory.ts';
import { parseProbeDefinitions } from './probes.ts';
import { parseTraceClock } from './trace-clock.ts';

const SAMPLES = new URL('../../../fixtures/raw/ftrace/', import.meta.url).pathname;
const EVENTS = `${SAMPLES}log-backend/tracefs/events/`;
const text = (path: string): string => readFileSync(`${EVENTS}${path}`, 'utf8');

describe('format files', () => {
  it('sched_switch', () => {
    const format = parseEventFormat(text('sched/sched_switch/format'), 'f', 'sched');
    expect(format).toMatchObject({ system: 'sched', name: 'sched_switch', id: 250 });
    const field = Object.fromEntries(
      format.fields.map((f) => [f.name, [f.ctype, f.dims, f.offset, f.size, f.signed, f.common]]),
    );
    expect(field['prev_comm']).toEqual(['char', '[16]', 8, 16, false, false]);
    expect(field['prev_state']).toEqual(['long', '', 32, 8, true, false]);
    expect(field['common_pid']).toEqual(['int', '', 4, 4, true, true]);
    expect(format.printFmt).toMatch(/^"prev_comm=%s /);
  });
  it('data locations and flexible arrays', () => {
    const irq = parseEventFormat(text('irq/irq_handler_entry/format'), 'f');
    expect(irq.fields.at(-1)).toMatchObject({
      name: 'name',
      ctype: '__data_loc char[]',
      dataLoc: true,
      size: 4,
    });
    const print = parseEventFormat(text('ftrace/print/format'), 'f');
    expect(print.fields.at(-1)).toMatchObject({ name: 'buf', dims: '[]', offset: 16, size: 0 });
    const relative = text('irq/irq_handler_entry/format').replace('__data_loc', '__rel_loc');
    expect(parseEventFormat(relative, 'f').fields.at(-1)).toMatchObject({ relLoc: true, dataLoc: false });
  });
  it('header_page', () => {
    expect(parseHeaderPage(text('header_page'), 'f')).toEqual({
      pageBytes: 4096,
      commitBytes: 8,
      dataOffset: 16,
    });
  });
  it('a directory of them', () => {
    const { formats, errors } = readFormatsDirectory(EVENTS);
    expect(errors).toEqual([]);
    expect(formats.size).toBe(17);
    expect(formats.byId.get(1545)).toMatchObject({ system: 'xd', name: 'evtchn_irq' });
  });

  const GOOD = text('irq/irq_handler_exit/format');
  it.each([
    ['no name', GOOD.replace('name: irq_handler_exit\n', ''), 'expected a line "name: EVENT"'],
    ['no id', GOOD.replace(/ID: \d+\n/, ''), 'expected a line "ID: NUMBER"'],
    [
      'an id that is too large',
      GOOD.replace(/ID: \d+/, 'ID: 65536'),
      'at byte 23: event format is damaged; expected ID',
    ],
    ['a cut field', GOOD.replace('size:4;\tsigned:1;\n\n', '\n'), 'expected field:TYPE NAME'],
    ['no common fields', GOOD.replaceAll('common_', 'uncommon_'), 'field common_type of 2 bytes'],
    ['a foreign line', `hello\n${GOOD}`, 'at byte 0'],
  ])('%s is one precise error', (_, bad, message) => {
    expect(() => parseEventFormat(bad, 'some/format')).toThrow(message);
    expect(() => parseEventFormat(bad, 'some/format')).toThrow('some/format');
  });
  it('any damage is a format or a TraceError', () => {
    const bytes = Buffer.from(text('sched/sched_switch/format'));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.nat(bytes.length), (at, byte, length) => {
        const damaged = Buffer.from(bytes);
        damaged[at] = byte;
        try {
          const format = parseEventFormat(damaged.toString('latin1', 0, length), 'f');
          return format.id >= 1 && format.id <= 0xffff;
        } catch (error) {
          return isTraceError(error);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('probe definitions', () => {
  it('kprobes, returns, modules, fetch arguments', () => {
    const probes = parseProbeDefinitions(readFileSync(`${SAMPLES}ioreq-fetch/kprobe_events.txt`, 'utf8'));
    const line = probes.map((p) => `${p.event} ${p.symbol}${p.isReturn ? ' return' : ''} ${p.args.length}`);
    expect(line).toEqual([
      'privcmd privcmd_ioctl 9',
      'privcmd_ret privcmd_ioctl return 1',
      'evtchn_irq evtchn_interrupt 3',
      'evtchn_ioctl evtchn_ioctl 2',
      'evtchn_write evtchn_write 2',
      'evtchn_read_ret evtchn_read return 1',
      'evtchn_read evtchn_read 1',
      'evtchn_bind evtchn_bind_to_user 1',
      'lateeoi xen_irq_lateeoi 2',
      'ioreq_at_read evtchn_read 14',
      'ioreq_at_notify evtchn_ioctl 16',
      'evtchn_ioctl_ret evtchn_ioctl return 1',
    ]);
    expect(probes.every((p) => p.kind === 'kprobe' && p.system === 'xd' && p.offset === 0)).toBe(true);
  });
  it('uprobes', () => {
    const [probe, , ret] = parseProbeDefinitions(readFileSync(`${SAMPLES}uprobes/uprobe_events.txt`, 'utf8'));
    expect(probe).toMatchObject({
      kind: 'uprobe',
      system: 'qemu',
      event: 'handle_ioreq',
      symbol: '',
      offset: 0x2b5020,
    });
    expect(probe?.path).toBe('/usr/local/bin/qemu-xen');
    expect(ret).toMatchObject({ event: 'set_irq_ret', isReturn: true });
  });
  it('other forms, and lines that are none', () => {
    const probes = parseProbeDefinitions(
      'p:a/b sym+0x10 x=%x0\np:a/c do_it%return\np:a/d /bin/x:0x10(0x20)%return\nr:a/e 0xffff0000\n-:a/f\n\nrubbish\n',
    );
    expect(probes.map((p) => [p.event, p.symbol, p.offset, p.isReturn])).toEqual([
      ['b', 'sym', 16, false],
      ['c', 'do_it', 0, true],
      ['d', '', 16, true],
    ]);
  });
});

it('trace_clock names the clock in brackets', () => {
  expect(parseTraceClock('local global counter uptime perf mono [mono_raw] boot tai\n')).toBe('mono_raw');
  expect(parseTraceClock('boot\n')).toBe('boot');
});

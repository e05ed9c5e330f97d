import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeAll } from '../../fixtures/ftrace-bytes.ts';
import { MemorySource } from '../input/byte-source.ts';
import { FtraceTextDecoder, ftraceTextFormat, type FtraceTextOptions } from './ftrace-text.ts';

const SAMPLES = new URL('../../fixtures/raw/ftrace/', import.meta.url).pathname;
const SAMPLE = readFileSync(`${SAMPLES}text/trace.txt`);

function decode(text: string | Uint8Array, options: FtraceTextOptions = {}, capacity?: number) {
  const decoder = new FtraceTextDecoder(new MemorySource('trace.txt', Buffer.from(text)), options);
  const rows = decodeAll(decoder, capacity);
  return { rows, decoder, report: decoder.report, errors: decoder.report.errors.map(String) };
}
const at = (us: number, rest: string): string =>
  `     qemu-xen-3871    [001] d....  12.${String(us).padStart(6, '0')}: ${rest}\n`;
/** Rows of single events 0, 1, 2 ... microseconds after the first. */
const rowsOf = (...events: string[]): string[] =>
  decode(events.map((text, i) => at(i, text)).join('')).rows.map((r) => r.replace(/^\d+ cpu1 /, ''));

it('the sample as it was', async () => {
  const { rows, decoder, errors } = decode(SAMPLE);
  expect(errors).toEqual([]);
  const counts = [...decoder.report.byName].sort().map(([name, n]) => `count ${name} ${n}`);
  const text = [`epoch ${decoder.clock.epoch}`, ...counts, ...rows.slice(0, 40)];
  await expect(`${text.join('\n')}\n`).toMatchFileSnapshot(`${SAMPLES}text/golden.txt`);
  expect(decoder.clock).toMatchObject({ name: 'unknown', unit: 'us', hz: 1e6 });
  for (const capacity of [1, 3]) expect(decode(SAMPLE, { chunkBytes: 700 }, capacity).rows).toEqual(rows);
});

describe('lines', () => {
  it('with and without flags and thread group, any task name', () => {
    const { rows, errors } = decode(
      [
        '          <idle>-0     [000] d.h..  2080.888763: irq_handler_entry: irq=2 name=IPI',
        '           <...>-12    (-----) [001] .....  2080.888764: irq_handler_exit: irq=2 ret=unhandled',
        '   a b-7 [x] -3-4 ( 1858) [003] 2080.888765: irq_handler_exit: irq=2 ret=handled',
        '          my-app-5    [002] d..3. 2080.888766: irq_handler_exit: irq=2 ret=handled',
        '',
      ].join('\n'),
    );
    expect(errors).toEqual([]);
    expect(rows).toEqual([
      '0 cpu0 dom0.irq_entry arg0=2 pid=0 "IPI"',
      '1 cpu1 dom0.irq_exit arg0=2 pid=12',
      '2 cpu3 dom0.irq_exit arg0=2 arg1=1 pid=4',
      '3 cpu2 dom0.irq_exit arg0=2 arg1=1 pid=5',
    ]);
  });
  it('scheduler and system calls, as tracefs and as trace-cmd print them', () => {
    expect(
      rowsOf(
        'sched_switch: prev_comm=a b prev_pid=1 prev_prio=120 prev_state=S ==> next_comm=x= next_pid=2 next_prio=0',
        'sched_switch:         qemu-xen:1 [120] R+ ==> swapper/0:0 [120]',
        'sched_waking: comm=c pid=3 prio=120 target_cpu=001',
        'sched_wakeup:         trace-cmd:3460 [120] CPU:000',
        'sys_enter: NR 64 (3, ffff00001234, 8, 0, 0, 0)',
        'sys_exit: NR 64 = -11',
      ),
    ).toEqual([
      'dom0.sched_switch arg0=2 arg1=1 pid=1',
      'dom0.sched_switch arg1=100 pid=1',
      'dom0.sched_waking arg0=3 arg1=1 pid=3871',
      'dom0.sched_wakeup arg0=d84 pid=3871',
      'dom0.sys_enter addr=3 data=ffff00001234 arg0=40 pid=3871',
      'dom0.sys_exit data=fffffffffffffff5 arg0=40 pid=3871',
    ]);
  });
  it('probes: by the symbol in the line, by name where it is an address', () => {
    expect(
      rowsOf(
        'mine: (evtchn_interrupt+0x0/0x90 [xen_evtchn]) irq=11 port=8 enabled=1',
        'mine2: (privcmd_ioctl+0x44/0x90 [xen_privcmd]) cmd=0x105005 dom=5 num=1 op=19 a0=0x21 a1=0x1',
        'mine3: (privcmd_ioctl+0x0/0x90) cmd=0x105005 dom=5 num=1 ubufs=0xffff op=19 a0=0x21 a1=0x1 a2=0x0',
        'mine4: (__arm64_sys_ioctl+0x88/0xc0 <- privcmd_ioctl) ret=-1',
        'evtchn_irq: (ffffd04742b4f108) irq=11 port=8 enabled=1',
        'handle_ioreq: (0xaaaab3e25020) req=0xffff addr=0x2000060 data=0x1 count=1 size=4 eport=3 bits=0x22 type=1',
        'set_irq: (0xaaaab3e26b4c) dom=8 irq=33 level=1',
        'evtchn_irq: (evtchn_interrupt+0x0/0x90) irq=11 port="text" enabled=1',
      ),
    ).toEqual([
      'dom0.evtchn_irq arg0=b arg1=8 pid=3871',
      'dom0.other pid=3871 "mine2"',
      'dom0.set_irq_level d5 arg0=21 arg1=1 pid=3871',
      'dom0.privcmd_ret data=ffffffffffffffff pid=3871',
      'dom0.evtchn_irq arg0=b arg1=8 pid=3871',
      'dm.ioreq addr=2000060 data=1 arg0=10104 arg1=3 pid=3871',
      'dm.set_irq d8 arg0=21 arg1=1 pid=3871',
    ]);
  });
  it('a probe that stands beside another does not repeat it', () => {
    const slot = 'a0=0x2000050 d0=0x0 c0=1 s0=4 p0=3 b0=0x3 t0=1';
    const both = rowsOf(
      `at_notify: (evtchn_ioctl+0x0/0x7) cmd=0x44504 port=8 ${slot}`,
      'evtchn_ioctl: (evtchn_ioctl+0x0/0x7) cmd=0x44504 port=8',
    );
    expect(both).toEqual([
      'dom0.ioreq_answered v0 addr=2000050 arg0=10c04 arg1=3 arg2=8 pid=3871',
      'dom0.evtchn_notify arg1=8 pid=3871',
    ]);
  });
  it('markers', () => {
    expect(
      rowsOf(
        'tracing_mark_write: virtio_mmio_setting_irq virtio_mmio setting IRQ 1',
        'tracing_mark_write:  größer: 1',
        'print:                tracing_mark_write: virtio_mmio_setting_irq virtio_mmio setting IRQ 0',
      ),
    ).toEqual(['dm.set_irq arg1=1 pid=3871', 'dom0.marker pid=3871 " größer: 1"', 'dm.set_irq pid=3871']);
  });
  it('nanoseconds, and clocks without a point', () => {
    const ns = decode(
      'a-1 [000] ..... 5.000000001: x: (a+0x0/0x1)\na-1 [000] ..... 5.000000009: x: (a+0x0/0x1)\n',
    );
    expect([ns.rows[1]?.split(' ')[0], ns.decoder.clock]).toEqual([
      '8',
      { name: 'unknown', unit: 'ns', epoch: 5_000_000_001n, hz: 1e9 },
    ]);
    const ticks = decode('a-1 [000] ..... 77: x: (a+0x0/0x1)\n', { clockName: 'counter' });
    expect(ticks.decoder.clock).toEqual({ name: 'counter', unit: 'ticks', epoch: 77n });
  });
  it('slightly out of order, as trace_pipe gives them', () => {
    const { rows } = decode(
      at(5, 'irq_handler_exit: irq=1 ret=handled') + at(3, 'irq_handler_exit: irq=2 ret=handled'),
    );
    expect(rows.map((r) => r.split(' ')[0])).toEqual(['-2', '0']);
  });
});

it('losses: overwritten entries and LOST lines', () => {
  const { rows, report } = decode(
    '# tracer: nop\n#\n# entries-in-buffer/entries-written: 2/12   #P:2\n#\n' +
      at(0, 'irq_handler_exit: irq=1 ret=handled') +
      'CPU:1 [LOST 7 EVENTS]\n' +
      at(9, 'irq_handler_exit: irq=1 ret=handled'),
  );
  expect(rows.map((r) => r.replace(/ pid.*/, ''))).toEqual([
    '0 cpu65535 dom0.lost arg0=a',
    '0 cpu1 dom0.irq_exit arg0=1 arg1=1',
    '9 cpu1 dom0.lost arg0=7',
    '9 cpu1 dom0.irq_exit arg0=1 arg1=1',
  ]);
  expect(report.losses).toEqual([
    { count: 10, ts: 0 },
    { cpu: 1, count: 7, ts: 9 },
  ]);
});

describe('damage', () => {
  const GOOD = at(0, 'irq_handler_exit: irq=1 ret=handled');
  it('a bad line hides no other', () => {
    const { rows, errors } = decode(
      `# tracer: nop\n${GOOD}rubbish\n${GOOD}${at(1, 'irq_handler_exit: irq=x')}${GOOD}`,
    );
    expect(rows).toHaveLength(3);
    expect(errors).toEqual([
      `TraceError: trace.txt at byte ${14 + GOOD.length}: line 3 is no ftrace event (the first of 2 such lines); expected TASK-PID [CPU] FLAGS TIME: EVENT: FIELDS, got "rubbish"`,
    ]);
  });
  it('a last line without its end', () => {
    const { rows, errors } = decode(GOOD + GOOD.slice(0, -1));
    expect(rows).toHaveLength(1);
    expect(errors).toEqual([
      `TraceError: trace.txt at byte ${GOOD.length}: input ends inside a line; expected a line end, got the end`,
    ]);
  });
  it('a line without end', () => {
    const { rows, errors } = decode(`${GOOD}${'x'.repeat(2_000_000)}`);
    expect(rows).toHaveLength(1);
    expect(errors).toHaveLength(1);
  });
  it('every cut: the rows before it, one error unless between lines', () => {
    const whole = decode(SAMPLE).rows;
    for (let length = 0; length < SAMPLE.length; length += length < 1200 ? 1 : 101) {
      const { rows, errors } = decode(SAMPLE.subarray(0, length));
      expect(rows).toEqual(whole.slice(0, rows.length));
      const between = length === 0 || SAMPLE[length - 1] === 0x0a;
      expect([length, errors.length]).toEqual([length, between ? 0 : 1]);
    }
  });
  it('any damage: rows in order, at most one error', () => {
    const bytes = SAMPLE.subarray(0, 6000);
    const flips = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(flips, (list) => {
        const damaged = Buffer.from(bytes);
        for (const [i, byte] of list) damaged[i] = byte;
        const { rows, errors } = decode(damaged);
        const ts = rows.map((row) => Number(row.split(' ', 1)[0]));
        return errors.length <= 1 && ts.every((t, i) => i === 0 || ts[i - 1]! <= t);
      }),
      { numRuns: 300 },
    );
  });
  it.each<[string, boolean, string]>([
    ['trace', true, SAMPLE.toString('latin1')],
    ['trace_pipe', true, GOOD + GOOD],
    ['trace-cmd report', true, `cpus=2\n${GOOD}`],
    ['a QEMU log', false, 'virtio_mmio_setting_irq virtio_mmio setting IRQ 1\n'],
    [
      'a stamped QEMU log',
      false,
      '123@1700000000.123456:virtio_mmio_setting_irq virtio_mmio setting IRQ 1\n',
    ],
    ['nothing', false, ''],
    ['blank lines', false, '\n\n\n'],
  ])('sniffing %s: %s', (_, expected, text) => {
    const bytes = Buffer.from(text, 'latin1');
    expect(ftraceTextFormat.sniff(bytes.subarray(0, 65_536), new MemorySource('x', bytes))).toBe(expected);
  });
});

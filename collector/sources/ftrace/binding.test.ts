import { describe, expect, it } from 'vitest';
import {
  decodeAll,
  event,
  formatsOf,
  formatText,
  longEvent,
  page,
  payload,
  words,
} from '../../../fixtures/ftrace-bytes.ts';
import { MemorySource } from '../../input/byte-source.ts';
import { FtracePagesDecoder } from '../ftrace-pages.ts';
import { parseProbeDefinitions } from './probes.ts';

type Field = readonly [declaration: string, offset: number, size: number, signed?: boolean];
const IP: Field = ['unsigned long __probe_ip', 8, 8];
const FUNC: Field = ['unsigned long __probe_func', 8, 8];
const RET_IP: Field = ['unsigned long __probe_ret_ip', 16, 8];

/** The rows of one record of event `name`, whose own bytes (behind the probe's place) are `own`. */
function rows(
  system: string,
  name: string,
  fields: readonly Field[],
  own: Uint8Array,
  options: { probes?: string; also?: [string, string, readonly Field[]][]; at?: number } = {},
): string[] {
  const others = (options.also ?? []).map(([s, n, f], i) => [formatText(n, 50 + i, f), s] as const);
  const formats = formatsOf([formatText(name, 40, fields), system], ...others);
  const record = payload(40, 9, Buffer.concat([Buffer.alloc(options.at ?? 8), own]));
  const bytes = page(1_000n, [record.length > 112 ? longEvent(0, record) : event(0, record)]);
  const probes = parseProbeDefinitions(options.probes ?? '');
  const inputs = [{ cpu: 0, input: new MemorySource('x', bytes) }];
  const decoder = new FtracePagesDecoder(inputs, formats, { clockName: 'local', probes });
  const text = decodeAll(decoder);
  expect(decoder.report.errors).toEqual([]);
  return text.map((row) => row.replace('0 cpu0 ', ''));
}

const IRQ: Field[] = [IP, ['u32 irq', 16, 4], ['u32 port', 20, 4]];
const IOCTL: Field[] = [IP, ['u32 cmd', 16, 4], ['u32 port', 20, 4]];

describe('a probe is known by its symbol, then by its name', () => {
  it("a name of the user's own, with the definition", () => {
    const probes = 'p:my/thing xen_evtchn:evtchn_interrupt irq=$arg1:u32 port=+32($arg2):u32';
    expect(rows('my', 'thing', IRQ, words(11, 8), { probes })).toEqual([
      'dom0.evtchn_irq arg0=b arg1=8 pid=9',
    ]);
    expect(rows('my', 'thing', IRQ, words(11, 8))).toEqual(['dom0.other pid=9 "thing"']);
  });
  it('the definition is believed before the name', () => {
    const probes = 'p:xd/evtchn_irq some_other_function irq=$arg1:u32 port=$arg2:u32';
    expect(rows('xd', 'evtchn_irq', IRQ, words(11, 8), { probes })).toEqual([
      'dom0.other pid=9 "evtchn_irq"',
    ]);
    expect(rows('xd', 'evtchn_irq', IRQ, words(11, 8))).toEqual(['dom0.evtchn_irq arg0=b arg1=8 pid=9']);
  });
  it('a probe inside a function is not its entry', () => {
    const probes = 'p:xd/evtchn_irq evtchn_interrupt+0x40 irq=$arg1:u32 port=$arg2:u32';
    expect(rows('xd', 'evtchn_irq', IRQ, words(11, 8), { probes })).toEqual([
      'dom0.other pid=9 "evtchn_irq"',
    ]);
  });
  it('an event that is no probe, or lacks the fields, is another event', () => {
    expect(rows('xen', 'privcmd', [['u32 cmd', 8, 4]], words(1), { at: 0 })).toEqual([
      'dom0.other pid=9 "privcmd"',
    ]);
    expect(rows('xd', 'evtchn_irq', [IP], words())).toEqual(['dom0.other pid=9 "evtchn_irq"']);
    expect(rows('mine', 'sched_switch', [['pid_t next_pid', 8, 4]], words(1), { at: 0 })).toEqual([
      'dom0.other pid=9 "sched_switch"',
    ]);
  });
  it('returns', () => {
    const fields: Field[] = [FUNC, RET_IP, ['s64 ret', 24, 8, true]];
    const own = words(0xfffffff5, 0xffffffff);
    const ret = (name: string, probes = ''): string[] => rows('xd', name, fields, own, { at: 16, probes });
    expect(ret('evtchn_read_ret')).toEqual(['dom0.evtchn_read_ret data=fffffffffffffff5 pid=9']);
    expect(ret('evtchn_ioctl_ret')).toEqual(['dom0.evtchn_ioctl_ret data=fffffffffffffff5 pid=9']);
    expect(ret('whatever', 'r10:xd/whatever xen_privcmd:privcmd_ioctl ret=$retval:s64')).toEqual([
      'dom0.privcmd_ret data=fffffffffffffff5 pid=9',
    ]);
    expect(ret('evtchn_write_ret', 'r:xd/evtchn_write_ret evtchn_write ret=$retval')).toEqual([
      'dom0.other pid=9 "evtchn_write_ret"',
    ]);
  });
  it('fields of any width and place', () => {
    const fields: Field[] = [IP, ['u64 port', 17, 8], ['s16 irq', 25, 2, true]];
    const own = Buffer.from([0, 8, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff]);
    expect(rows('xd', 'evtchn_irq', fields, own)).toEqual(['dom0.evtchn_irq arg0=fffffffe arg1=8 pid=9']);
  });
});

describe('evtchn and privcmd ioctls', () => {
  it('NOTIFY and others', () => {
    expect(rows('xd', 'evtchn_ioctl', IOCTL, words(0x44504, 8))).toEqual(['dom0.evtchn_notify arg1=8 pid=9']);
    expect(rows('xd', 'evtchn_ioctl', IOCTL, words(0x84501, 5))).toEqual([
      'dom0.evtchn_ioctl arg0=84501 arg1=5 pid=9',
    ]);
  });
  const DM_OP: Field[] = [
    IP,
    ['u32 cmd', 16, 4],
    ['u16 dom', 20, 2],
    ['u16 num', 22, 2],
    ['u64 ubufs', 24, 8],
    ['u32 op', 32, 4],
    ['u32 a0', 36, 4],
    ['u32 a1', 40, 4],
    ['u64 a2', 44, 8],
  ];
  const dmOp = (cmd: number, dom: number, num: number, op: number, a0: number, a1: number): string[] =>
    rows('xd', 'privcmd', DM_OP, words(cmd, dom | (num << 16), 0xffff0000, 0xffff, op, a0, a1, 0x2000000, 0));
  it.each<[string, string[], string]>([
    ['line up', dmOp(0x105005, 5, 1, 19, 33, 0x7f01), 'dom0.set_irq_level d5 arg0=21 arg1=1 pid=9'],
    ['line down', dmOp(0x105005, 5, 1, 19, 33, 0), 'dom0.set_irq_level d5 arg0=21 pid=9'],
    ['map range', dmOp(0x105005, 5, 1, 3, 0, 1), 'dom0.dm_op d5 arg0=3 arg2=1 arg3=2000000 pid=9'],
    ['another ioctl', dmOp(0x305000, 5, 1, 19, 33, 1), 'dom0.privcmd arg0=305000 pid=9'],
    ['garbage: buffers', dmOp(0x105005, 5, 0, 19, 33, 1), 'dom0.privcmd arg0=105005 pid=9'],
    ['garbage: domain', dmOp(0x105005, 0x7ff4, 1, 19, 33, 1), 'dom0.privcmd arg0=105005 pid=9'],
    ['garbage: op', dmOp(0x105005, 5, 1, 0xffff, 33, 1), 'dom0.privcmd arg0=105005 pid=9'],
    ['garbage: SPI', dmOp(0x105005, 5, 1, 19, 31, 1), 'dom0.privcmd arg0=105005 pid=9'],
    ['garbage: level', dmOp(0x105005, 5, 1, 19, 33, 2), 'dom0.privcmd arg0=105005 pid=9'],
  ])('%s', (_, got, expected) => {
    expect(got).toEqual([expected]);
  });
  it('the hypercall itself, unless the ioctl is probed too', () => {
    const fields: Field[] = [IP, ['u16 dom', 16, 2], ['u32 op', 18, 4], ['u32 a0', 22, 4], ['u32 a1', 26, 4]];
    const own = Buffer.concat([Buffer.from([5, 0]), words(19, 33, 1)]);
    const probes = 'p:xd/inject HYPERVISOR_dm_op dom=$arg1:u16';
    expect(rows('xd', 'inject', fields, own, { probes })).toEqual([
      'dom0.set_irq_level d5 arg0=21 arg1=1 pid=9',
    ]);
    expect(rows('xd', 'inject', fields, own, { probes, also: [['xd', 'privcmd', DM_OP]] })).toEqual([
      'dom0.other pid=9 "inject"',
    ]);
  });
});

describe('fetched ioreqs', () => {
  const slot = (n: string, at: number): Field[] => [
    [`u64 a${n}`, at, 8],
    [`u64 d${n}`, at + 8, 8],
    [`u32 s${n}`, at + 16, 4],
    [`u32 p${n}`, at + 20, 4],
    [`u8 b${n}`, at + 24, 1],
    [`u8 t${n}`, at + 25, 1],
  ];
  const bytes = (addr: number, data: number, port: number, bits: number, type: number): Buffer =>
    Buffer.concat([words(addr, 0, data, 0xffffffff, 4, port), Buffer.from([bits, type])]);
  const NOTIFY: Field[] = [...IOCTL, ...slot('0', 24), ...slot('1', 50)];
  const READ: Field[] = [IP, ...slot('0', 16), ...slot('1', 42)];
  const two = Buffer.concat([bytes(0x2000050, 1, 3, 0x21, 1), bytes(0, 0xffffffff, 4, 0x13, 8)]);

  it('a row a slot, and the call itself where nothing else probes it', () => {
    const delivered = [
      'dom0.ioreq_delivered v0 addr=2000050 data=ffffffff00000001 arg0=10504 arg1=3 pid=9',
      'dom0.ioreq_delivered v1 data=ffffffffffffffff arg0=80e04 arg1=4 pid=9',
    ];
    expect(rows('xd', 'at_read', READ, two)).toEqual(['dom0.evtchn_read pid=9', ...delivered]);
    const also: [string, string, Field[]][] = [['xd', 'evtchn_read', [IP]]];
    expect(rows('xd', 'at_read', READ, two, { also })).toEqual(delivered);
  });
  it('at NOTIFY, with its port; other ioctls answer nothing', () => {
    const own = Buffer.concat([words(0x44504, 7), two]);
    const answered = [
      'dom0.ioreq_answered v0 addr=2000050 data=ffffffff00000001 arg0=10504 arg1=3 arg2=7 pid=9',
      'dom0.ioreq_answered v1 data=ffffffffffffffff arg0=80e04 arg1=4 arg2=7 pid=9',
    ];
    const also: [string, string, Field[]][] = [['xd', 'evtchn_ioctl', IOCTL]];
    expect(rows('xd', 'at_notify', NOTIFY, own)).toEqual([...answered, 'dom0.evtchn_notify arg1=7 pid=9']);
    expect(rows('xd', 'at_notify', NOTIFY, own, { also })).toEqual(answered);
    const bind = Buffer.concat([words(0x84501, 7), two]);
    expect(rows('xd', 'at_notify', NOTIFY, bind)).toEqual(['dom0.evtchn_ioctl arg0=84501 arg1=7 pid=9']);
    expect(rows('xd', 'at_notify', NOTIFY, bind, { also })).toEqual(['dom0.other pid=9 "at_notify"']);
  });
  it("the device model's own uprobes", () => {
    const fields: Field[] = [
      IP,
      ['u64 addr', 16, 8],
      ['u64 data', 24, 8],
      ['u32 size', 32, 4],
      ['u32 eport', 36, 4],
      ['u8 bits', 40, 1],
      ['u8 type', 41, 1],
    ];
    const probes = 'p:qemu/handle_ioreq /usr/bin/qemu:0x2b5020 req=%x1:x64';
    expect(rows('qemu', 'handle_ioreq', fields, bytes(0x2000060, 0, 3, 0x22, 1), { probes })).toEqual([
      'dm.ioreq addr=2000060 data=ffffffff00000000 arg0=10104 arg1=3 pid=9',
    ]);
    const set: Field[] = [IP, ['u16 dom', 16, 2], ['u32 irq', 18, 4], ['u32 level', 22, 4]];
    const own = Buffer.concat([Buffer.from([7, 0]), words(33, 1)]);
    expect(rows('qemu', 'set_irq', set, own)).toEqual(['dm.set_irq d7 arg0=21 arg1=1 pid=9']);
    expect(rows('qemu', 'set_irq_ret', [FUNC, RET_IP], words(), { at: 16 })).toEqual([
      'dom0.other pid=9 "set_irq_ret"',
    ]);
  });
});

describe("the kernel's own handlers of kicks and interrupts", () => {
  const KICK: Field[] = [
    IP,
    ['u32 irq', 16, 4],
    ['s32 vcpu', 20, 4, true],
    ['u32 port', 24, 4],
    ['u16 dom', 28, 2],
  ];
  const slot = (n: number, at: number): Field[] => [
    [`u64 a${n}`, at, 8],
    [`u64 d${n}`, at + 8, 8],
    [`u8 b${n}`, at + 16, 1],
    [`u8 t${n}`, at + 17, 1],
  ];
  const FETCH: Field[] = [...KICK, ...slot(0, 30), ...slot(1, 48)];
  const kick = (vcpu: number, dom = 5): Buffer =>
    Buffer.concat([words(26, vcpu, 11), Buffer.from([dom & 255, dom >> 8])]);
  const slots = Buffer.concat([
    words(0x2000060, 0, 0, 0),
    Buffer.from([0x21, 1]),
    words(0x2000250, 0, 3, 0),
    Buffer.from([0x01, 1]),
  ]);

  it('ioeventfd: the slot of its vCPU, where slots are fetched', () => {
    expect(rows('xd', 'ioeventfd', KICK, kick(1))).toEqual(['dom0.ioeventfd d5 v1 arg1=b arg2=1a pid=9']);
    const probes = 'p:my/kick xen_privcmd:ioeventfd_interrupt vcpu=+0($arg2):s32';
    expect(rows('my', 'kick', FETCH, Buffer.concat([kick(1), slots]), { probes })).toEqual([
      'dom0.ioeventfd d5 v1 addr=2000250 data=3 arg0=10400 arg1=b arg2=1a pid=9',
    ]);
    // A vCPU beyond the slots, and one that cannot be: nothing is read beside the record.
    expect(rows('xd', 'ioeventfd', FETCH, Buffer.concat([kick(2), slots]))).toEqual([
      'dom0.ioeventfd d5 v2 arg1=b arg2=1a pid=9',
    ]);
    expect(rows('xd', 'ioeventfd', FETCH, Buffer.concat([kick(-1, 0x7ff4), slots]))).toEqual([
      'dom0.ioeventfd arg1=b arg2=1a pid=9',
    ]);
    expect(rows('xd', 'ioeventfd', [IP, ['u32 irq', 16, 4]], words(26))).toEqual([
      'dom0.other pid=9 "ioeventfd"',
    ]);
  });
  it('its return: answered or left', () => {
    const fields: Field[] = [FUNC, RET_IP, ['u32 ret', 24, 4]];
    const ret = (value: number): string[] => rows('xd', 'ioeventfd_ret', fields, words(value), { at: 16 });
    expect(ret(1)).toEqual(['dom0.ioeventfd_ret data=1 pid=9']);
    expect(ret(0)).toEqual(['dom0.ioeventfd_ret pid=9']);
  });
  it('irqfd: a raise, if the eventfd became readable and what is prepared can be one', () => {
    const fields: Field[] = [
      IP,
      ['u32 flags', 16, 4],
      ['u16 dom', 20, 2],
      ['u32 op', 22, 4],
      ['u32 irq', 26, 4],
      ['u8 level', 30, 1],
    ];
    const wake = (flags: number, dom: number, op: number, irq: number, level: number): string[] =>
      rows(
        'xd',
        'irqfd',
        fields,
        Buffer.concat([
          words(flags),
          Buffer.from([dom & 255, dom >> 8]),
          words(op, irq),
          Buffer.from([level]),
        ]),
      );
    expect(wake(1, 5, 19, 34, 1)).toEqual(['dom0.irqfd d5 arg0=22 arg1=1 pid=9']);
    expect(wake(0x10, 5, 19, 34, 1)).toEqual(['dom0.other pid=9 "irqfd"']);
    for (const odd of [
      wake(1, 5, 18, 34, 1),
      wake(1, 0x7ff4, 19, 34, 1),
      wake(1, 5, 19, 31, 1),
      wake(1, 5, 19, 34, 2),
    ])
      expect(odd).toEqual(['dom0.irqfd pid=9']);
    expect(rows('xd', 'irqfd', [IP], words())).toEqual(['dom0.irqfd pid=9']);
  });
});

it("prints: events of QEMU's, anything else", () => {
  const fields: Field[] = [
    ['unsigned long ip', 8, 8],
    ['char buf[]', 16, 0],
  ];
  const print = (text: string): string[] => rows('ftrace', 'print', fields, Buffer.from(text, 'utf8'));
  expect(print('virtio_mmio_setting_irq virtio_mmio setting IRQ 1\n\0')).toEqual(['dm.set_irq arg1=1 pid=9']);
  expect(print('some_new_event 1 2\n\0junk')).toEqual(['dm.other pid=9 "some_new_event"']);
  expect(print('Start: größer\n\0')).toEqual(['dom0.marker pid=9 "Start: größer"']);
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rowText } from '../../../fixtures/dm-rows.ts';
import { EventBatch } from '../../../trace/columns.ts';
import { StringTable } from '../../../trace/strings.ts';
import { appendQemuEvent, isDamagedEvent } from './event-line.ts';
import { QEMU_EVENTS } from './event-table.ts';

function row(text: string): string | undefined {
  const out = new EventBatch(1);
  const name = appendQemuEvent(text, out, 5, 1, 77, new StringTable());
  expect(out.length).toBe(name === undefined ? 0 : 1);
  return name === undefined ? undefined : `${name}: ${rowText(out, 0)}`;
}

const TAIL = 'df=0 ptr=0 port=0x2000050 data=0x1 count=1 size=4';

describe('events that are known', () => {
  it.each([
    [
      'handle_ioreq I/O=0xffffe15c7b20 type=8 dir=0 df=0 ptr=0 port=0x0 data=0xffffffffffffffff count=0 size=4',
      'handle_ioreq: 5 77 dm.ioreq data=0xffffffffffffffff arg0=524292',
    ],
    [
      `handle_ioreq I/O=0xf type=1 dir=1 ${TAIL}\n`,
      'handle_ioreq: 5 77 dm.ioreq addr=0x2000050 data=0x1 arg0=65796',
    ],
    [
      `handle_ioreq_read I/O=0xf read type=1 ${TAIL}\r\n`,
      'handle_ioreq_read: 5 77 dm.ioreq_read_done addr=0x2000050 data=0x1 arg0=65796',
    ],
    [
      `handle_ioreq_write I/O=(nil) write type=1 ${TAIL}`,
      'handle_ioreq_write: 5 77 dm.ioreq_write addr=0x2000050 data=0x1 arg0=65540',
    ],
    [
      `cpu_ioreq_move I/O=0xf copy dir=1 ${TAIL}`,
      'cpu_ioreq_move: 5 77 dm.ioreq_move addr=0x2000050 data=0x1 arg0=65796',
    ],
    [
      `cpu_ioreq_pio I/O=0xf pio dir=1 ${TAIL}`,
      'cpu_ioreq_pio: 5 77 dm.other addr=0x2000050 data=0x1 arg1=260',
    ],
    ['virtio_mmio_read virtio_mmio_read offset 0x60', 'virtio_mmio_read: 5 77 dm.mmio_read addr=0x60'],
    [
      'virtio_mmio_write_offset virtio_mmio_write offset 0x50 value 0xfedcba9876543210',
      'virtio_mmio_write_offset: 5 77 dm.mmio_write addr=0x50 data=0xfedcba9876543210',
    ],
    ['virtio_mmio_setting_irq virtio_mmio setting IRQ 1', 'virtio_mmio_setting_irq: 5 77 dm.set_irq arg1=1'],
    [
      'virtio_queue_notify vdev 0xaaaade57ce70 n 63 vq 0xffffbcf20578',
      'virtio_queue_notify: 5 77 dm.queue_notify addr=0xaaaade57ce70 data=0xffffbcf20578 arg0=63',
    ],
    [
      'virtqueue_pop vq 0x1 elem 0x2 in_num 3 out_num 4294967295',
      'virtqueue_pop: 5 77 dm.virtqueue_pop addr=0x1 data=0x2 arg0=3 arg1=4294967295',
    ],
    [
      'virtqueue_fill vq 0x1 elem 0x2 len 4097 idx 7',
      'virtqueue_fill: 5 77 dm.virtqueue_fill addr=0x1 data=0x2 arg0=4097 arg1=7',
    ],
    ['virtqueue_flush vq 0x1 count 2', 'virtqueue_flush: 5 77 dm.virtqueue_flush addr=0x1 arg0=2'],
    ['virtio_notify vdev 0x1 vq 0x2', 'virtio_notify: 5 77 dm.virtio_notify addr=0x1 data=0x2'],
    [
      'virtio_notify_irqfd vdev 0x1 vq 0x2',
      'virtio_notify_irqfd: 5 77 dm.virtio_notify_irqfd addr=0x1 data=0x2',
    ],
    ['virtio_set_status vdev 0x1 val 15', 'virtio_set_status: 5 77 dm.set_status addr=0x1 arg0=15'],
    [
      'virtio_blk_handle_read vdev 0x1 req 0x2 sector 18446744073709551615 nsectors 8',
      'virtio_blk_handle_read: 5 77 dm.blk_read addr=0x1 data=0x2 arg0=4294967295 arg1=4294967295 arg2=8',
    ],
    [
      'virtio_blk_handle_write vdev 0x1 req 0x2 sector 4294967297 nsectors 8',
      'virtio_blk_handle_write: 5 77 dm.blk_write addr=0x1 data=0x2 arg0=1 arg1=1 arg2=8',
    ],
    [
      'virtio_blk_rw_complete vdev 0x1 req 0x2 ret -5',
      'virtio_blk_rw_complete: 5 77 dm.blk_rw_done addr=0x1 data=0x2 arg0=4294967291',
    ],
    [
      'virtio_blk_req_complete vdev 0x1 req 0x2 status 1',
      'virtio_blk_req_complete: 5 77 dm.blk_done addr=0x1 data=0x2 arg0=1',
    ],
    ['xen_ioreq_server_create id: 3', 'xen_ioreq_server_create: 5 77 dm.other arg1=3'],
    ['xen_ioreq_server_state id: 0: enable: 1', 'xen_ioreq_server_state: 5 77 dm.other arg2=1'],
    [
      'xen_map_mmio_range id: 1 start: 0x2001200 end: 0x20013ff',
      'xen_map_mmio_range: 5 77 dm.other addr=0x2001200 data=0x20013ff arg1=1',
    ],
    [
      'xen_map_resource_ioreq id: 2 addr: 0xffffb0660000',
      'xen_map_resource_ioreq: 5 77 dm.other addr=0xffffb0660000 arg1=2',
    ],
    [
      'xen_create_virtio_mmio_devices Created virtio-mmio device 3: irq 36 base 0x2000600',
      'xen_create_virtio_mmio_devices: 5 77 dm.other addr=0x2000600 arg1=3 arg2=36',
    ],
    ['xen_map_cache want 0x4ba60000', 'xen_map_cache: 5 77 dm.other addr=0x4ba60000'],
    ['xen_remap_bucket index 0x4ba', 'xen_remap_bucket: 5 77 dm.other addr=0x4ba'],
  ])('%s', (text, expected) => {
    expect(row(text)).toBe(expected);
  });

  it.each([
    'virtio_mmio_read virtio_mmio_read offset 0x',
    'virtio_mmio_read virtio_mmio_read offset 0x1g',
    'virtio_mmio_read virtio_mmio_read offset 0x11112222333344445',
    'virtio_mmio_read virtio_mmio_read offset 0x0 ',
    'virtio_mmio_read offset 0x0',
    'virtio_mmio_read',
    'virtio_mmio_setting_irq virtio_mmio setting IRQ 2147483648',
    'virtio_mmio_setting_irq virtio_mmio setting IRQ -',
    'virtqueue_flush vq 0x1 count 4294967296',
    'virtqueue_flush vq 1 count 1',
    'virtqueue_flush vq 0x count 1',
    'virtio_blk_handle_read vdev 0x1 req 0x2 sector 18446744073709551616 nsectors 8',
    'virtio_blk_handle_read vdev 0x1 req 0x2 sector 0 nsectors 4294967296',
    `handle_ioreq I/O=0xf type=1 dir=2 ${TAIL}`,
    `handle_ioreq I/O=0xf type=256 dir=1 ${TAIL}`,
    `handle_ioreq I/O=0xf type=1 dir=1 df=0 ptr=0 port=0x0 data=0x0 count=1 size=256`,
  ])('refuses damaged arguments: %s', (text) => {
    expect(row(text)).toBeUndefined();
    expect(isDamagedEvent(text)).toBe(true);
  });

  it('accepts no proper prefix of an event whose last argument has one digit', () => {
    const text = `handle_ioreq I/O=0xffffe15c7b20 type=8 dir=0 ${TAIL}`;
    for (let n = 'handle_ioreq'.length; n < text.length; n++) expect(row(text.slice(0, n))).toBeUndefined();
  });
});

describe('other text', () => {
  it('takes an unknown name of the right shape as DM_OTHER', () => {
    expect(row('virtio_console_flush_buf port 0, in_len 18, out_len 18')).toBe(
      'virtio_console_flush_buf: 5 77 dm.other',
    );
    expect(row('xen_default_ioreq_server ')).toBe('xen_default_ioreq_server: 5 77 dm.other');
    expect(row('xen_default_ioreq_server')).toBe('xen_default_ioreq_server: 5 77 dm.other');
  });

  it.each([
    '',
    '\n',
    'hello world',
    'qemu-system-aarch64: warning: x',
    'virtio_mmio_write: write to read-only register (0x10)',
    'Virtio_mmio_read x',
    '_virtio x',
    '9p_read x',
    'some_event with a \0 in it',
    'some_event\tx',
    `${'a_'.repeat(80)} x`,
  ])('is no event: %j', (text) => {
    expect(row(text)).toBeUndefined();
    expect(isDamagedEvent(text)).toBe(false);
  });

  it('keeps the number of distinct names bounded', () => {
    const strings = new StringTable();
    const out = new EventBatch(6000);
    for (let i = 0; i < 6000; i++) appendQemuEvent(`some_event_${i} x`, out, 0, 0, 0, strings);
    expect(out.length).toBe(6000);
    expect(strings.list.length).toBe(4097);
    expect(strings.list[out.arg0[5999]!]).toBe('(other event)');
    expect(strings.list[out.arg0[4095]!]).toBe('some_event_4095');
  });
});

describe('any text', () => {
  it('gives one row or none and never throws', () => {
    const name = fc.constantFrom(...QEMU_EVENTS.map((s) => s.name));
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.tuple(name, fc.string()).map((p) => p.join(' ')),
        ),
        (text) => {
          row(text);
        },
      ),
    );
  });

  it('reads back every 64-bit number', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(0n, 2n ** 64n - 1n), (a, b) => {
        const out = new EventBatch(1);
        const text = `virtio_blk_handle_read vdev 0x${a.toString(16)} req 0x1 sector ${b} nsectors 1`;
        appendQemuEvent(text, out, 0, 0, 0, new StringTable());
        expect((BigInt(out.addr[1]!) << 32n) | BigInt(out.addr[0]!)).toBe(a);
        expect((BigInt(out.arg1[0]!) << 32n) | BigInt(out.arg0[0]!)).toBe(b);
      }),
    );
  });
});

import { describe, expect, it } from 'vitest';
import { EventBatch } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';
import { DIR_READ, DIR_WRITE, IOREQ_TYPE, packIoreqInfo } from '../../trace/ioreq.ts';
import { DeviceScan } from '../device-scan.ts';
import { qemuCommandLine, qmpGreeting, threadList } from './device-model.ts';
import { HostFindings } from './findings.ts';
import { clockSamples, cpuStats, savedCommands, uname } from './kernel.ts';
import { counterDisagreement, deviceFacts, deviceModelFacts, hostFacts, tracedDomid } from './resolve.ts';
import { xenstoreDump, xlDmesg, xlInfo, xlList } from './xen-tools.ts';

const XL_INFO = `host : (none)
release                : 6.12.107+deb13-arm64
machine                : aarch64
cpu_mhz                : 62.500
xen_version            : 4.20.4-pre
`;

const STORE = `/local/domain/0/backend/virtio_disk/5/51712/base = "33554432"
/local/domain/0/backend/virtio_disk/5/51712/irq = "33"
/local/domain/0/backend/virtio/5/0/base = "0x2000200"
/local/domain/0/backend/virtio/5/0/irq = "34"
/local/domain/0/backend/virtio/5/0/type = "virtio,device1"
/local/domain/0/backend/virtio/5/1/base = "0x2000400"
/local/domain/0/backend/virtio/5/1/type = "virtio,device22"
/local/domain/0/backend/virtio_disk/6/51712/base = "33554432"
/local/domain/0/backend/virtio_disk/6/51712/irq = "44"
/local/domain/5/cpu/0/availability = "online"
/local/domain/5/cpu/1/availability = "online"
/libxl/5/device/virtio_disk/51712/backend = "/local/domain/0/backend/virtio_disk/5/51712"
`;

function found(...reads: ((into: HostFindings) => void)[]): HostFindings {
  const findings = new HostFindings();
  for (const read of reads) read(findings);
  return findings;
}

/** Rows: kind, addr, data, write or read. */
function scanOf(
  rows: readonly [kind: number, addr: number, data: number, dir: number][],
  domid = 5,
): DeviceScan {
  const scan = new DeviceScan();
  const batch = new EventBatch(rows.length);
  for (const [kind, addr, data, dir] of rows) {
    const i = batch.push(0, kind, 0, domid, 0, 1858);
    batch.addr[2 * i] = addr;
    batch.data[2 * i] = data;
    batch.arg0[i] = packIoreqInfo(4, dir, 0, 0, IOREQ_TYPE.COPY);
  }
  scan.scan(batch);
  return scan;
}

describe('facts about the host', () => {
  it('come from xl info, xl dmesg, QMP and uname', () => {
    const findings = found(
      (f) => {
        xlInfo.read!(XL_INFO, f, 'a');
      },
      (f) => {
        xlDmesg.read!(
          '(XEN) Generic Timer IRQ: phys=30 hyp=26 virt=27 Freq: 62500 KHz\n(XEN) d1: CNTVOFF 5\n',
          f,
          'b',
        );
      },
      (f) => {
        qmpGreeting.read!('{"QMP": {"version": {"qemu": {"micro": 13, "minor": 0, "major": 10}}}}', f, 'c');
      },
      (f) => {
        uname.read!('Linux x 5.10 #1 aarch64 GNU/Linux', f, 'd');
      },
    );
    expect(hostFacts(findings, {})).toEqual({
      xenVersion: '4.20.4-pre',
      linuxVersion: '6.12.107+deb13-arm64',
      machine: 'aarch64',
      counterHz: 62_500_000,
      deviceModel: 'QEMU 10.0.13',
    });
    expect(counterDisagreement(findings)).toBeUndefined();
  });

  it('take the counter frequency from the best place, and say when places disagree', () => {
    const findings = found((f) => {
      clockSamples.read!('cntfrq=24000000 cntvct=1 mono_raw=1', f, 'a');
    });
    expect(hostFacts(findings, {}).counterHz).toBe(24_000_000);
    xlInfo.read!(XL_INFO, findings, 'b');
    expect(hostFacts(findings, {}).counterHz).toBe(62_500_000);
    expect(counterDisagreement(findings)).toContain('xlInfo 62500000 Hz');
    expect(hostFacts(findings, { counterHz: 1e8 }).counterHz).toBe(1e8);
    expect(hostFacts(new HostFindings(), {})).toEqual({});
  });

  it('name tasks and threads of the device model', () => {
    const findings = found(
      (f) => {
        threadList.read!('1861 qemu-xen\n1858 qemu-xen\n', f, 'a');
      },
      (f) => {
        savedCommands.read!('1858 other\n24 ksoftirqd/1\n7 two words\n', f, 'b');
      },
    );
    expect([...findings.tasks]).toEqual([
      [1861, 'qemu-xen'],
      [1858, 'qemu-xen'],
      [24, 'ksoftirqd/1'],
      [7, 'two words'],
    ]);
    expect(deviceModelFacts(findings, new DeviceScan(), {})).toEqual([
      { pid: 1858, name: 'qemu-xen', threads: [1858, 1861] },
    ]);
    const scan = scanOf([[K.DM_IOREQ_READ_DONE, 0x2000008, 2, DIR_READ]]);
    expect(deviceModelFacts(new HostFindings(), scan, { '1858': 'qemu' })).toEqual([
      { pid: 1858, name: 'qemu', threads: [1858] },
    ]);
  });

  it('count what the kernel lost of each CPU', () => {
    const findings = found((f) => {
      cpuStats.read!('entries: 1\noverrun: 7\ncommit overrun: 1\ndropped events: 2\n', f, 'x/cpu3.stats');
    });
    expect(findings.stats).toEqual([{ file: 'x/cpu3.stats', cpu: 3, lost: 10 }]);
  });
});

describe('the traced domain', () => {
  const store = (f: HostFindings): void => {
    xenstoreDump.read!(STORE, f, 's');
  };
  const command =
    (domid: number) =>
    (f: HostFindings): void => {
      qemuCommandLine.read!(`/usr/bin/qemu\0-xen-domid\0${domid}\0-smp\x002\0`, f, 'q');
    };
  const list = (f: HostFindings): void => {
    xlList.read!('[{"domid":0,"config":{}},{"domid":9,"config":{"b_info":{"max_vcpus":4}}}]', f, 'l');
  };
  const busy = scanOf([[K.ARM_IOREQ_SEND, 0x2000000, 0, DIR_READ]], 7);

  it("is what the user says, else the device model's, else the only guest, else the busiest", () => {
    expect(tracedDomid(found(command(5), list), busy, { domid: 3 })).toBe(3);
    expect(tracedDomid(found(command(5), list), busy, {})).toBe(5);
    expect(tracedDomid(found(list), busy, {})).toBe(9);
    expect(tracedDomid(found(command(5), command(6)), busy, {})).toBe(7);
    expect(
      tracedDomid(
        found(list, (f) => f.guests.add(4)),
        busy,
        {},
      ),
    ).toBe(7);
    expect(tracedDomid(new HostFindings(), new DeviceScan(), {})).toBeUndefined();
  });

  it('has its vCPUs from xl list, -smp or xenstore', () => {
    expect(found(list).vcpus.get(9)).toBe(4);
    expect(found(command(5)).vcpus.get(5)).toBe(2);
    expect(found(store).vcpus.get(5)).toBe(2);
  });

  it('has the devices that xenstore lists for it, with hexadecimal device numbers', () => {
    expect(deviceFacts(found(store), new DeviceScan(), 5)).toEqual([
      { name: 'blk0', kind: 'blk', base: 0x2000000, size: 0x200, spi: 33, origin: 'xenstore' },
      { name: 'net0', kind: 'net', base: 0x2000200, size: 0x200, spi: 34, origin: 'xenstore' },
      {
        name: 'i2c0',
        kind: 'i2c',
        base: 0x2000400,
        size: 0x200,
        spi: 35,
        spiDerived: true,
        origin: 'xenstore',
      },
    ]);
  });

  it('survives a domain list that is cut off', () => {
    const findings = found((f) => {
      xlList.read!('[{"domid": 0, "config": {', f, 'l');
    });
    expect(findings.warnings).toEqual(['l: is no whole JSON; not used']);
  });
});

describe('devices in the events', () => {
  it('are the windows that answered a DeviceID, or were written to', () => {
    const scan = scanOf([
      [K.DM_IOREQ_READ_DONE, 0x2000008, 2, DIR_READ],
      [K.DM_IOREQ_READ_DONE, 0x2000208, 0, DIR_READ],
      [K.DOM0_IOREQ_ANSWERED, 0x2000408, 3, DIR_READ],
      [K.ARM_IOREQ_SEND, 0x2000608, 0, DIR_READ],
      [K.ARM_IOREQ_DONE, 0, 1, DIR_READ],
      [K.ARM_IOREQ_SEND, 0x2000804, 0, DIR_READ],
      [K.ARM_IOREQ_DONE, 0, 1, DIR_READ],
      [K.DM_IOREQ, 0x2000a50, 0, DIR_WRITE],
      [K.DM_IOREQ, 0x2000c00, 0, DIR_READ],
      [K.DM_IOREQ_READ_DONE, 0x4000008, 2, DIR_READ],
    ]);
    expect(deviceFacts(new HostFindings(), scan, 5).map(({ name, base, spi }) => [name, base, spi])).toEqual([
      ['blk0', 0x2000000, 33],
      ['console0', 0x2000400, 35],
      ['net0', 0x2000600, 36],
      ['unknown0', 0x2000a00, 38],
    ]);
    expect(scan.counts[K.DM_IOREQ]).toBe(2);
  });

  it('are in recordings wherever the magic value was answered', () => {
    const scan = scanOf([
      [K.REC_READ, 0xa000000, 0x74726976, DIR_READ],
      [K.REC_READ, 0xa000008, 16, DIR_READ],
      [K.REC_READ, 0xa000208, 2, DIR_READ],
      [K.REC_READ, 0xa000400, 0x74726976, DIR_READ],
      [K.REC_READ, 0xa000408, 0, DIR_READ],
    ]);
    expect(deviceFacts(new HostFindings(), scan, undefined)).toEqual([
      { name: 'gpu0', kind: 'gpu', base: 0xa000000, size: 0x200, spi: 0, origin: 'events' },
    ]);
  });
});

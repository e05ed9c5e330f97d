import type { DeviceSpec, WorkloadName } from '../../fixtures/xen-on-arm/types.ts';

export interface AccuracyWorkload {
  /** For --only. */
  name: string;
  /** As the page names it. */
  title: string;
  vcpus: number;
  devices: readonly DeviceSpec[];
  work: WorkloadName;
  /** 4 KiB blocks a disk and direction, pings and KiB each way. */
  size: number;
  /** vCPUs of a second guest that compute all the while, so that the first is preempted. */
  busy: number;
}

const DISK: DeviceSpec = { kind: 'blk', sizeMiB: 32 };

export const WORKLOADS: readonly AccuracyWorkload[] = [
  { name: 'disk', title: '1 vCPU, disk', vcpus: 1, devices: [DISK], work: 'blk-mixed', size: 60, busy: 0 },
  {
    name: 'disk-busy',
    title: '1 vCPU, disk, a busy neighbour',
    vcpus: 1,
    devices: [DISK],
    work: 'blk-mixed',
    size: 60,
    busy: 1,
  },
  {
    name: 'all',
    title: '2 vCPUs, disk, network, console',
    vcpus: 2,
    devices: [DISK, { kind: 'net' }, { kind: 'serial' }],
    work: 'all',
    size: 30,
    busy: 0,
  },
  {
    name: 'all-busy',
    title: '2 vCPUs, disk, network, console, a busy neighbour',
    vcpus: 2,
    devices: [DISK, { kind: 'net' }, { kind: 'serial' }],
    work: 'all',
    // Dom0 itself has to wait for its CPUs here: 30 take half an hour.
    size: 10,
    busy: 1,
  },
];

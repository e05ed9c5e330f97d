import { closeSync, openSync } from 'node:fs';
import { TraceError } from '../../trace/errors.ts';
import { systemReason } from '../../trace/replace-file.ts';
import type { Libc, Mapping } from './libc.ts';

export const PAGE = 4096;
const DEVICE = '/dev/xen/privcmd';

/** Linux include/uapi/xen/privcmd.h */
const IOCTL_HYPERCALL = 0x0030_5000;
const IOCTL_MMAPBATCH_V2 = 0x0020_5004;
const IOCTL_MMAP_RESOURCE = 0x0020_5007;
/** Xen include/public/xen.h, event_channel.h, memory.h */
const HYPERVISOR_EVENT_CHANNEL_OP = 32;
const EVTCHNOP_STATUS = 5;
const EVTCHNSTAT_INTERDOMAIN = 2;
const DOMID_SELF = 0x7ff0;
const RESOURCE_IOREQ_SERVER = 0;
/** Frame of the synchronous ioreq page; 0 is the buffered one. */
const IOREQ_FRAME = 1;
/** Frames mapped in one call. */
export const MOST_FRAMES = 512;

const ARRAY_AT = 256;
const ERRORS_AT = ARRAY_AT + 8 * MOST_FRAMES;

/** What Dom0 may ask of Xen about another domain. Needs root in Dom0; changes nothing in the domain. */
export class Privcmd {
  private readonly libc: Libc;
  private readonly fd: number;
  private readonly scratch: Mapping;
  private readonly words: DataView;

  constructor(libc: Libc) {
    try {
      this.fd = openSync(DEVICE, 'r+');
    } catch (error) {
      throw new TraceError('E_HOST', `cannot be opened (${systemReason(error)})`, {
        source: DEVICE,
        expected: 'root in Dom0',
      });
    }
    this.libc = libc;
    this.scratch = libc.mapScratch(4 * PAGE);
    this.words = new DataView(this.scratch.bytes.buffer);
  }

  close(): void {
    closeSync(this.fd);
    this.scratch.release();
  }

  /**
   * The page of a domain's ioreq server, read-only: 32 bytes a vCPU. Undefined if there is no server of that number,
   * or it is not Dom0's. Source: XENMEM_acquire_resource.
   */
  ioreqPage(domid: number, server: number): Mapping | undefined {
    const page = this.libc.mapFile(this.fd, PAGE);
    if (page === undefined) return undefined;
    const { words } = this;
    // struct privcmd_mmap_resource: u16 dom, u32 type, id, idx, u64 num, addr.
    words.setUint32(0, domid, true);
    words.setUint32(4, RESOURCE_IOREQ_SERVER, true);
    words.setUint32(8, server, true);
    words.setUint32(12, IOREQ_FRAME, true);
    words.setBigUint64(16, 1n, true);
    words.setBigUint64(24, BigInt(page.address), true);
    if (this.libc.ioctl(this.fd, IOCTL_MMAP_RESOURCE, this.scratch.address) === 0) return page;
    page.release();
    return undefined;
  }

  /** The other end of one of Dom0's event channels; undefined if it leads to no domain. */
  remotePort(port: number): { domid: number; port: number } | undefined {
    const { words } = this;
    const argument = this.scratch.address + 64;
    words.setBigUint64(0, BigInt(HYPERVISOR_EVENT_CHANNEL_OP), true);
    words.setBigUint64(8, BigInt(EVTCHNOP_STATUS), true);
    words.setBigUint64(16, BigInt(argument), true);
    for (let at = 24; at < 48; at += 8) words.setBigUint64(at, 0n, true);
    // struct evtchn_status: u16 dom, u32 port, status, vcpu, {u16 dom, u32 port}.
    for (let at = 64; at < 96; at += 4) words.setUint32(at, 0, true);
    words.setUint16(64, DOMID_SELF, true);
    words.setUint32(68, port, true);
    if (this.libc.ioctl(this.fd, IOCTL_HYPERCALL, this.scratch.address) < 0) return undefined;
    if (words.getUint32(72, true) !== EVTCHNSTAT_INTERDOMAIN) return undefined;
    return { domid: words.getUint16(80, true), port: words.getUint32(84, true) };
  }

  /**
   * Maps `count` (at most MOST_FRAMES) frames of a domain from `firstFrame` on, read-only. `there[i]` is 0 where the
   * domain has no memory: touching that would be a bus error. Undefined if none is there.
   */
  mapFrames(
    domid: number,
    firstFrame: number,
    count: number,
  ): { mapping: Mapping; there: Uint8Array } | undefined {
    const mapping = this.libc.mapFile(this.fd, count * PAGE);
    if (mapping === undefined)
      throw new TraceError('E_HOST', `memory of the domain cannot be mapped (${this.libc.errno()})`);
    const { words } = this;
    // struct privcmd_mmapbatch_v2: u32 num, u16 dom, u64 addr, arr, err.
    words.setUint32(0, count, true);
    words.setUint32(4, domid, true);
    words.setBigUint64(8, BigInt(mapping.address), true);
    words.setBigUint64(16, BigInt(this.scratch.address + ARRAY_AT), true);
    words.setBigUint64(24, BigInt(this.scratch.address + ERRORS_AT), true);
    for (let i = 0; i < count; i++) {
      words.setBigUint64(ARRAY_AT + 8 * i, BigInt(firstFrame + i), true);
      words.setInt32(ERRORS_AT + 4 * i, -1, true);
    }
    this.libc.ioctl(this.fd, IOCTL_MMAPBATCH_V2, this.scratch.address);
    const there = new Uint8Array(count);
    let any = false;
    for (let i = 0; i < count; i++)
      if (words.getInt32(ERRORS_AT + 4 * i, true) === 0) {
        there[i] = 1;
        any = true;
      }
    if (any) return { mapping, there };
    mapping.release();
    return undefined;
  }
}

import type { JsonValue } from '../../trace/json-check.ts';
import { forEachChain, type DeviceHost, type DeviceModel } from '../device.ts';
import { features, hasFeature, type Features } from '../features.ts';
import { GuestFault } from '../guest-memory.ts';
import { scatter, totalLength, gather, type Chain } from '../queue/chain.ts';
import {
  BLK_F_BLK_SIZE,
  BLK_F_CONFIG_WCE,
  BLK_F_DISCARD,
  BLK_F_FLUSH,
  BLK_F_GEOMETRY,
  BLK_F_MQ,
  BLK_F_RO,
  BLK_F_SCSI,
  BLK_F_SEG_MAX,
  BLK_F_TOPOLOGY,
  BLK_F_WRITE_ZEROES,
  BLK_ID_BYTES,
  BLK_SEGMENT_BYTES,
  BLK_SEGMENT_F_UNMAP,
  BLK_S_IOERR,
  BLK_S_OK,
  BLK_S_UNSUPP,
  BLK_T_DISCARD,
  BLK_T_FLUSH,
  BLK_T_GET_ID,
  BLK_T_IN,
  BLK_T_OUT,
  BLK_T_WRITE_ZEROES,
  BLOCK_CONFIG,
  BLOCK_CONFIG_BYTES,
  BLOCK_DEVICE_ID,
  SECTOR,
} from './block-format.ts';
import { parseBlockRequest, type BlockRequest } from './block-request.ts';
import { ConfigSpace } from './config-space.ts';
import { DiskError, type Disk } from './disk.ts';

/** Most sectors of one request: QEMU's BDRV_REQUEST_MAX_SECTORS, INT_MAX bytes. */
const MOST_SECTORS = 0x7fff_ffff >>> 9;

export interface BlockOptions {
  disk: Disk;
  /** Answer to GET_ID; at most 20 bytes of it are given. */
  serial?: string;
  /** Number of request queues; more than one offers MQ. */
  queues?: number;
  /** Entries of each queue before the driver chooses. */
  queueSize?: number;
  /** Cylinders, heads and sectors; guessed from the size unless given. */
  geometry?: readonly [number, number, number];
  /**
   * Complete each request as soon as it was carried out (default), or leave it to complete(): a host that
   * replays a recording decides the order, as the threads of a real device model did.
   */
  hold?: boolean;
}

/** A request that was carried out and not yet given back. Plain data. */
interface Pending {
  queue: number;
  id: number;
  slots: number;
  written: number;
  statusGpa: number;
  status: number;
}

/**
 * virtio-blk, VIRTIO 1.2, 5.2. Data moves when the request is taken from the queue; its status byte, used
 * element and interrupt follow at completion.
 */
export class BlockDevice implements DeviceModel {
  readonly deviceId = BLOCK_DEVICE_ID;
  readonly name = 'blk';
  readonly configFields = BLOCK_CONFIG;
  readonly offered: Features;
  readonly legacyOffered = features(BLK_F_SCSI);
  readonly queueSizes: readonly number[];
  private readonly disk: Disk;
  private readonly serial: Uint8Array;
  private readonly hold: boolean;
  private readonly space = new ConfigSpace(BLOCK_CONFIG, BLOCK_CONFIG_BYTES);
  private host!: DeviceHost;
  private pending: Pending[] = [];
  private writeback = true;

  constructor(options: BlockOptions) {
    const { disk, queues = 1, queueSize = 256 } = options;
    this.disk = disk;
    this.hold = options.hold === true;
    this.serial = new TextEncoder().encode(options.serial ?? '');
    this.queueSizes = new Array<number>(queues).fill(queueSize);
    this.offered = features(
      ...[BLK_F_SEG_MAX, BLK_F_GEOMETRY, BLK_F_BLK_SIZE, BLK_F_FLUSH, BLK_F_TOPOLOGY, BLK_F_CONFIG_WCE],
      ...[BLK_F_DISCARD, BLK_F_WRITE_ZEROES],
      ...(disk.readOnly === true ? [BLK_F_RO] : []),
      ...(queues > 1 ? [BLK_F_MQ] : []),
    );
    const [cylinders, heads, sectors] = options.geometry ?? guessGeometry(disk.sectors);
    const { space } = this;
    space.set('capacity', disk.sectors);
    space.set('seg_max', queueSize - 2);
    space.set('geometry.cylinders', cylinders);
    space.set('geometry.heads', heads);
    space.set('geometry.sectors', sectors);
    space.set('blk_size', SECTOR);
    space.set('writeback', 1);
    space.set('num_queues', queues);
    space.set('max_discard_sectors', MOST_SECTORS);
    space.set('max_discard_seg', 1);
    space.set('discard_sector_alignment', 1);
    space.set('max_write_zeroes_sectors', MOST_SECTORS);
    space.set('max_write_zeroes_seg', 1);
    space.set('write_zeroes_may_unmap', 1);
  }

  attach(host: DeviceHost): void {
    this.host = host;
  }

  config(): Uint8Array {
    return this.space.bytes;
  }

  /** Only the cache mode can be written (5.2.5.2). */
  configWritten(offset: number, bytes: Uint8Array): void {
    const at = BLOCK_CONFIG.find((field) => field.name === 'writeback')!.offset - offset;
    const value = bytes[at];
    if (value !== undefined) this.setWriteback(value !== 0);
  }

  private setWriteback(on: boolean): void {
    this.writeback = on;
    this.space.set('writeback', on ? 1 : 0);
  }

  /** Without CONFIG_WCE the negotiation alone says whether the driver will flush (5.2.6.2). */
  statusChanged(): void {
    const { negotiated, driverOk } = this.host;
    if (driverOk && !hasFeature(negotiated, BLK_F_CONFIG_WCE))
      this.setWriteback(hasFeature(negotiated, BLK_F_FLUSH));
  }

  notify(index: number): void {
    const queue = this.host.queue(index);
    if (queue === undefined) return;
    const before = this.pending.length;
    try {
      queue.setNotification(false);
      forEachChain(queue, (chain) => {
        this.pending.push(this.start(index, chain));
      });
      queue.setNotification(true);
    } finally {
      if (!this.hold) for (const request of this.pending.splice(before)) this.finish(request);
    }
  }

  /** Requests that await complete(), oldest first. */
  get held(): readonly { queue: number; id: number }[] {
    return this.pending;
  }

  /** Gives the request at `position` of `held` back to the driver; only forgets it when the device is broken. */
  complete(position = 0): void {
    const [request] = this.pending.splice(position, 1);
    if (request === undefined) return;
    this.host.run(() => {
      this.finish(request);
    });
  }

  private finish(request: Pending): void {
    const queue = this.host.queue(request.queue);
    if (queue === undefined) return;
    this.host.memory.view(request.statusGpa, 1)[0] = request.status;
    queue.push([request], [request.written]);
    this.host.interrupt(request.queue);
  }

  private start(queue: number, chain: Chain): Pending {
    const request = parseBlockRequest(this.host.memory, chain);
    const { id, slots } = chain;
    const { written, statusGpa } = request;
    return { queue, id, slots, written, statusGpa, status: this.carryOut(request) };
  }

  /** The status of the request, whose data has then been moved. */
  private carryOut(request: BlockRequest): number {
    try {
      return this.execute(request);
    } catch (error) {
      if (error instanceof DiskError) return BLK_S_IOERR;
      throw error;
    }
  }

  private execute(request: BlockRequest): number {
    switch (request.type) {
      case BLK_T_IN:
      case BLK_T_OUT:
        return this.transfer(request);
      case BLK_T_FLUSH:
        this.disk.flush();
        return BLK_S_OK;
      case BLK_T_GET_ID: {
        const id = new Uint8Array(Math.min(this.serial.length + 1, BLK_ID_BYTES));
        id.set(this.serial.subarray(0, id.length));
        scatter(this.host.memory, request.in, 0, id);
        return BLK_S_OK;
      }
      case BLK_T_DISCARD:
      case BLK_T_WRITE_ZEROES:
        return this.erase(request);
      default:
        return BLK_S_UNSUPP;
    }
  }

  private inRange(sector: number, sectors: number): boolean {
    return sectors <= MOST_SECTORS && sector <= this.disk.sectors && sectors <= this.disk.sectors - sector;
  }

  private transfer(request: BlockRequest): number {
    const write = request.type === BLK_T_OUT;
    const segments = write ? request.out : request.in;
    const bytes = totalLength(segments);
    if (bytes % SECTOR !== 0 || !this.inRange(request.sector, bytes / SECTOR)) return BLK_S_IOERR;
    if (write && this.disk.readOnly === true) return BLK_S_IOERR;
    let offset = request.sector * SECTOR;
    for (const { gpa, length } of segments) {
      const view = this.host.memory.view(gpa, length);
      if (write) this.disk.write(offset, view);
      else this.disk.read(offset, view);
      offset += length;
    }
    if (write && !this.writeback) this.disk.flush();
    return BLK_S_OK;
  }

  /** Discard and write zeroes: one segment a request, as the configuration space says (5.2.6). */
  private erase(request: BlockRequest): number {
    const segment = new Uint8Array(BLK_SEGMENT_BYTES);
    const bytes = totalLength(request.out);
    if (bytes > BLK_SEGMENT_BYTES) return BLK_S_UNSUPP;
    if (bytes < BLK_SEGMENT_BYTES) throw new GuestFault('request', `a segment of ${bytes} bytes`);
    gather(this.host.memory, request.out, 0, segment);
    const words = new DataView(segment.buffer);
    const sector = words.getUint32(0, true) + words.getUint32(4, true) * 0x1_0000_0000;
    const sectors = words.getUint32(8, true);
    const flags = words.getUint32(12, true);
    if (!this.inRange(sector, sectors)) return BLK_S_IOERR;
    const zeroes = request.type === BLK_T_WRITE_ZEROES;
    if ((flags & ~(zeroes ? BLK_SEGMENT_F_UNMAP : 0)) !== 0) return BLK_S_UNSUPP;
    if (this.disk.readOnly === true) return BLK_S_IOERR;
    if (zeroes) this.disk.writeZeroes(sector * SECTOR, sectors * SECTOR);
    else this.disk.discard?.(sector * SECTOR, sectors * SECTOR);
    return BLK_S_OK;
  }

  queueReset(queue: number): void {
    this.pending = this.pending.filter((request) => request.queue !== queue);
  }

  reset(): void {
    this.pending = [];
    this.setWriteback(true);
  }

  save(): unknown {
    return { writeback: this.writeback, pending: this.pending };
  }

  restore(saved: JsonValue): void {
    const writeback = saved.get('writeback').flag();
    const pending = saved.get('pending').list((item) => ({
      queue: item.get('queue').integer(0, this.queueSizes.length - 1),
      id: item.get('id').integer(0, 0xffff),
      slots: item.get('slots').integer(1, 0xffff),
      written: item.get('written').integer(1, 0x1_0000_0000),
      statusGpa: item.get('statusGpa').integer(),
      status: item.get('status').integer(0, 0xff),
    }));
    this.pending = pending;
    this.setWriteback(writeback);
  }
}

/** QEMU's guess for a disk without a partition table (hw/block/hd-geometry.c). */
export function guessGeometry(sectors: number): [number, number, number] {
  const cylinders = Math.floor(sectors / (16 * 63));
  return [Math.min(Math.max(cylinders, 2), 16383), 16, 63];
}

import { queuePort } from '../../devices/models/console-format.ts';
import { REC_TAG } from '../../trace/recording.ts';
import type { RecordedUsed } from '../target.ts';
import type { Recording } from './load.ts';
import { parseUsed, writtenBytes } from './used.ts';

const GPU_RESP_OK_EDID = 0x1104;
/** virtio_gpu_resp_edid: a header of 24 bytes, le32 size, le32 padding, 1024 bytes of EDID (VIRTIO 1.2, 5.7.6.8). */
const EDID_SIZE_AT = 24;
const EDID_AT = 32;
/** Queue on which a multiport console tells the driver of its ports (VIRTIO 1.2, 5.3.2). */
const CONTROL_RX = 2;
const CONTROL_TX = 3;
/** virtio_blk_req's type, and the bytes of its answer (VIRTIO 1.2, 5.2.6). */
const BLK_T_GET_ID = 8;
const BLK_ID_BYTES = 20;
const PORT_ADD = 1;
const CONSOLE_PORT = 4;
const PORT_OPEN = 6;
const PORT_NAME = 7;
const CONTROL_BYTES = 8;

/** What a display said of itself, from the device's answer to GET_EDID; undefined if the driver did not ask. */
export function edidOf(recording: Recording, transport: number): Uint8Array | undefined {
  for (const used of usedOf(recording, transport)) {
    for (const element of used.elements) {
      const bytes = writtenBytes(element);
      if (bytes.length <= EDID_AT) continue;
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      if (view.getUint32(0, true) !== GPU_RESP_OK_EDID) continue;
      const size = Math.min(view.getUint32(EDID_SIZE_AT, true), bytes.length - EDID_AT);
      return bytes.slice(EDID_AT, EDID_AT + size);
    }
  }
  return undefined;
}

interface Port {
  id: number;
  console: boolean;
  name: string;
  /** Open at the other end when the driver first asked. */
  connected: boolean;
}

/** Ports that a console with several announced, in the order of their ids. */
export function portsOf(recording: Recording, transport: number): Port[] {
  const ports = new Map<number, Port>();
  /** Port of the last message that told what a port is: a port that is open says so right behind. */
  let described = -1;
  const asked = new Set<number>();
  for (const used of usedOf(recording, transport)) {
    if (used.queue !== CONTROL_RX) continue;
    for (const element of used.elements) {
      const bytes = writtenBytes(element);
      if (bytes.length < CONTROL_BYTES) continue;
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const id = view.getUint32(0, true);
      const event = view.getUint16(4, true);
      if (event === PORT_ADD && !ports.has(id))
        ports.set(id, { id, console: false, name: '', connected: false });
      const port = ports.get(id);
      if (port === undefined) continue;
      if (event === CONSOLE_PORT) port.console = true;
      // Linux and QEMU end the name with a zero.
      if (event === PORT_NAME)
        port.name = Buffer.from(bytes.subarray(CONTROL_BYTES)).toString('latin1').replace(/\0.*$/s, '');
      const undescribed = !port.console && port.name === '';
      if (event === PORT_OPEN && !asked.has(id)) {
        asked.add(id);
        port.connected = (described === id || undescribed) && view.getUint16(6, true) !== 0;
      }
      described = event === CONSOLE_PORT || event === PORT_NAME ? id : -1;
    }
  }
  return [...ports.values()].sort((a, b) => a.id - b.id);
}

/** Ports of a console with several whose queues are used, in the order of their ids. */
export function portsInUse(recording: Recording, transport: number): { id: number; opened: boolean }[] {
  const ports = new Map<number, { id: number; opened: boolean }>();
  const opened = new Set<number>();
  /** Control messages that the driver has put into memory, for the notify that follows. */
  let messages: Uint8Array[] = [];
  for (const batch of recording.batches) {
    for (let i = 0; i < batch.length; i++) {
      const tag = batch.tag[i]!;
      if (tag === REC_TAG.MEMORY) {
        if (batch.rest[i]!.includes('"why":"out"') && batch.payload(i).length === CONTROL_BYTES)
          messages.push(batch.payload(i));
        continue;
      }
      if (batch.transport[i] === transport && (tag === REC_TAG.NOTIFY || tag === REC_TAG.KICK)) {
        const queue = batch.queue[i]!;
        if (queue === CONTROL_TX) for (const message of messages) noteOpening(message, opened);
        else if (isOutput(queue)) use(ports, queuePort(queue), true);
      } else if (batch.transport[i] === transport && tag === REC_TAG.USED) {
        for (const { queue } of parseUsed(batch.rest[i]!, transport, batch.step[i]!))
          if (queue !== CONTROL_RX && queue % 2 === 0)
            use(ports, queuePort(queue), opened.has(queuePort(queue)));
      }
      messages = [];
    }
  }
  return [...ports.values()].sort((a, b) => a.id - b.id);
}

/** `opened` of a port is that of its first input. */
function use(ports: Map<number, { id: number; opened: boolean }>, id: number, opened: boolean): void {
  const port = ports.get(id);
  if (port === undefined) ports.set(id, { id, opened });
  else port.opened &&= opened;
}

function isOutput(queue: number): boolean {
  return queue !== CONTROL_TX && queue % 2 === 1;
}

function noteOpening(message: Uint8Array, opened: Set<number>): void {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  if (view.getUint16(4, true) !== PORT_OPEN) return;
  if (view.getUint16(6, true) === 0) opened.delete(view.getUint32(0, true));
  else opened.add(view.getUint32(0, true));
}

/** What a disk answered to GET_ID, without its status byte; '' if the driver did not ask. */
export function serialOf(recording: Recording, transport: number): string {
  for (const used of usedOf(recording, transport)) {
    for (const element of used.elements) {
      if (element.request?.type !== BLK_T_GET_ID) continue;
      const id = writtenBytes(element).subarray(0, BLK_ID_BYTES);
      return Buffer.from(id).toString('latin1').replace(/\0.*$/s, '');
    }
  }
  return '';
}

function* usedOf(recording: Recording, transport: number): Generator<RecordedUsed> {
  for (const batch of recording.batches)
    for (let i = 0; i < batch.length; i++)
      if (batch.tag[i] === REC_TAG.USED && batch.transport[i] === transport)
        yield* parseUsed(batch.rest[i]!, transport, batch.step[i]!);
}

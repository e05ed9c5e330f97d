import type { ConfigField } from '../device.ts';

/** virtio-console: VIRTIO 1.2, section 5.3; linux/virtio_console.h. */
export const CONSOLE_DEVICE_ID = 3;

export const CONSOLE_F_MULTIPORT = 1;
export const CONSOLE_F_EMERG_WRITE = 2;

/** Queues of port 0, and of the control channel that MULTIPORT adds. */
export const CONSOLE_RX = 0;
export const CONSOLE_TX = 1;
export const CONSOLE_CONTROL_RX = 2;
export const CONSOLE_CONTROL_TX = 3;

/** Receive queue of a port; its transmit queue is the next one (5.3.2). */
export function portQueue(port: number): number {
  return port === 0 ? 0 : 2 * port + 2;
}

/** Port of a queue that is not one of the control channel. */
export function queuePort(queue: number): number {
  return queue < 2 ? 0 : (queue - 2) >> 1;
}

/** Control messages: u32 port, u16 event, u16 value (5.3.6.2). */
export const CONTROL_BYTES = 8;
export const CONTROL_DEVICE_READY = 0;
export const CONTROL_PORT_ADD = 1;
export const CONTROL_PORT_READY = 3;
export const CONTROL_CONSOLE_PORT = 4;
export const CONTROL_PORT_OPEN = 6;
export const CONTROL_PORT_NAME = 7;

export const CONSOLE_CONFIG: readonly ConfigField[] = [
  { offset: 0, size: 2, name: 'cols' },
  { offset: 2, size: 2, name: 'rows' },
  { offset: 4, size: 4, name: 'max_nr_ports' },
  { offset: 8, size: 4, name: 'emerg_wr' },
];
export const CONSOLE_CONFIG_BYTES = 12;

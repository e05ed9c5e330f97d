import { describe, expect, it } from 'vitest';
import { rig, VARIANTS, type Rig, type Variant } from '../testing/rig.ts';
import { ConsoleDevice, type ConsoleOptions } from './console.ts';
import {
  CONSOLE_CONTROL_RX,
  CONSOLE_CONTROL_TX,
  CONSOLE_RX,
  CONSOLE_TX,
  portQueue,
} from './console-format.ts';

interface Consoles extends Rig {
  model: ConsoleDevice;
  /** Output by port, as text. */
  text: string[];
}

function consoles(variant: Variant, options: Partial<ConsoleOptions>, refuse: number[] = []): Consoles {
  const text: string[] = [];
  const model = new ConsoleDevice({
    backend: { output: (port, bytes) => (text[port] = (text[port] ?? '') + Buffer.from(bytes).toString()) },
    maxPorts: 3,
    ...options,
  });
  const made = rig(model, variant);
  made.driver.setUp({ queues: new Array<number>(8).fill(32), refuse: [29, ...refuse] });
  return { ...made, model, text };
}

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Sends a control message and gives those that came back, as [port, event, value, name]. */
function control(
  { driver }: Rig,
  port: number,
  event: number,
  value: number,
): [number, number, number, string][] {
  for (let i = 0; i < 4; i++) driver.offer(CONSOLE_CONTROL_RX, [], [64]);
  const message = Buffer.alloc(8);
  message.writeUInt32LE(port, 0);
  message.writeUInt16LE(event, 4);
  message.writeUInt16LE(value, 6);
  driver.request(CONSOLE_CONTROL_TX, [message], []);
  const answers = driver
    .queue(CONSOLE_CONTROL_RX)
    .used()
    .map((used) => {
      const bytes = Buffer.from(driver.written(used));
      return [
        bytes.readUInt32LE(0),
        bytes.readUInt16LE(4),
        bytes.readUInt16LE(6),
        bytes.toString('utf8', 8),
      ] as [number, number, number, string];
    });
  return answers;
}

describe.each(VARIANTS)('console over %s', (variant) => {
  it('as a single port is open at once and carries bytes both ways', () => {
    const { driver, model, text } = consoles(variant, { maxPorts: 1 });
    driver.request(CONSOLE_TX, [ascii('hel'), ascii('lo\n')], []);
    driver.request(CONSOLE_TX, [ascii('again')], [], true);
    expect(text).toEqual(['hello\nagain']);
    expect(model.input(0, ascii('x')), 'no buffer').toBe(0);
    driver.offer(CONSOLE_RX, [], [2, 2]);
    driver.offer(CONSOLE_RX, [], [4]);
    expect(model.input(0, ascii('abcdefghij')), 'as much as there is room for').toBe(8);
    const used = driver.queue(CONSOLE_RX).used();
    expect(used.map((u) => Buffer.from(driver.written(u)).toString())).toEqual(['abcd', 'efgh']);
    expect(driver.interrupt()).toBe(1);
  });

  it('with many ports adds and opens them over the control channel', () => {
    const r = consoles(variant, { ports: [{ console: true }, { console: false, name: 'agent' }] });
    expect(r.driver.config(4, 4)).toBe(3);
    expect(control(r, 0xffff_ffff, 0, 1)).toEqual([
      [0, 1, 1, ''],
      [1, 1, 1, ''],
    ]);
    expect(control(r, 0, 3, 1)).toEqual([
      [0, 4, 1, ''],
      [0, 6, 1, ''],
    ]);
    expect(control(r, 1, 3, 1)).toEqual([
      [1, 7, 1, 'agent\0'],
      [1, 6, 1, ''],
    ]);
    expect(control(r, 7, 3, 1), 'no such port').toEqual([]);
    r.driver.offer(portQueue(1), [], [16]);
    expect(r.model.input(1, ascii('q')), 'not open yet').toBe(0);
    control(r, 1, 6, 1);
    expect(r.model.input(1, ascii('q'))).toBe(1);
    r.driver.request(portQueue(1) + 1, [ascii('to the agent')], []);
    r.driver.request(portQueue(2) + 1, [ascii('to nobody')], []);
    expect(r.text).toEqual([undefined, 'to the agent']);
    for (let i = 0; i < 2; i++) r.driver.offer(CONSOLE_CONTROL_RX, [], [64]);
    r.model.setConnected(1, false);
    r.model.setConnected(1, false);
    expect(r.driver.queue(CONSOLE_CONTROL_RX).used().length).toBe(1);
    r.driver.request(portQueue(1) + 1, [ascii('!')], []);
    expect(r.text[1]).toBe('to the agent');
    const saved = r.device.save();
    const other = consoles(variant, { ports: [{ console: true }, { console: false, name: 'agent' }] });
    other.device.restore(JSON.parse(JSON.stringify(saved)));
    expect(other.device.save()).toEqual(saved);
  });

  it('writes a character in an emergency, before any set-up', () => {
    const { device, text, driver } = consoles(variant, {});
    driver.set('Status', 0);
    device.write(0x108, 4, 0x21);
    device.write(0x108, 4, 0);
    expect(text).toEqual(['!']);
    expect(driver.config(8, 4)).toBe(0);
  });
});

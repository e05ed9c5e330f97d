import { NET_F_OFFLOADS_HIGH, NET_F_OFFLOADS_LOW } from '../../../devices/models/net-format.ts';
import { TraceError } from '../../../trace/errors.ts';
import type { DeviceKind, DevicePlan, ReplaySetup } from '../../target.ts';
import { DEVICE_TYPES, monitorArguments, type Capabilities } from './capabilities.ts';
import { FIRST_FD } from './process.ts';
import { deviceProperties } from './properties.ts';

/** QEMU's machine virt on Arm: transports, their interrupts at the GIC, where RAM begins and may end. */
export const VIRT_TRANSPORT_BASE = 0x0a00_0000;
export const VIRT_TRANSPORT_BYTES = 0x200;
export const VIRT_TRANSPORTS = 32;
export const VIRT_SPI = 16;
const VIRT_RAM_BASE = 0x4000_0000;
const VIRT_RAM_END = 0x40_0000_0000;
const MIB = 1 << 20;

/** File descriptors of the command line. */
export const QTEST_FD = FIRST_FD;
export const QMP_FD = FIRST_FD + 1;
export const RAM_FD = FIRST_FD + 2;
export const SCREEN_FD = FIRST_FD + 3;
const FIRST_PEER_FD = FIRST_FD + 4;

/** A socket that a device of QEMU has to the outer world. */
export interface PeerPlan {
  transport: number;
  kind: DeviceKind;
  /** console: the port. */
  port: number;
}

export interface CommandLine {
  args: string[];
  /** In the order of their file descriptors, from FIRST_FD + 4. */
  peers: PeerPlan[];
}

/** RAM of the machine that holds all of the recording's. Bytes. */
export function machineRam(ram: ReplaySetup['ram']): { base: number; length: number } {
  let end = VIRT_RAM_BASE + 64 * MIB;
  for (const { base, length } of ram) {
    if (base < VIRT_RAM_BASE || base + length > VIRT_RAM_END)
      throw new TraceError('E_TARGET', `QEMU's machine virt has no RAM where the recorded guest has`, {
        expected: `RAM from 0x${VIRT_RAM_BASE.toString(16)} to 0x${VIRT_RAM_END.toString(16)}`,
        got: `${length / MIB} MiB at 0x${base.toString(16)}`,
      });
    end = Math.max(end, Math.ceil((base + length) / MIB) * MIB);
  }
  return { base: VIRT_RAM_BASE, length: end - VIRT_RAM_BASE };
}

/** Where transport 0 of the recording is: all of its devices must follow from it. */
export function transportBase(devices: readonly DevicePlan[]): number {
  const [first] = devices;
  if (first === undefined) return VIRT_TRANSPORT_BASE;
  const base = first.base - VIRT_TRANSPORT_BYTES * first.transport;
  for (const plan of devices) {
    const own = base + VIRT_TRANSPORT_BYTES * plan.transport;
    if (plan.transport < VIRT_TRANSPORTS && plan.base === own) continue;
    throw new TraceError('E_TARGET', `QEMU's machine virt cannot have a device as recorded`, {
      expected: `transport ${plan.transport} at 0x${own.toString(16)}, of ${VIRT_TRANSPORTS} transports`,
      got: `0x${plan.base.toString(16)}`,
    });
  }
  return base;
}

/** Arguments of a QEMU whose CPU never runs and whose devices are the recorded ones. */
export function commandLine(
  setup: ReplaySetup,
  qemu: Capabilities,
  swap: ReadonlyMap<number, readonly string[]>,
): CommandLine {
  const versions = new Set(setup.devices.map(({ version }) => version));
  if (versions.size > 1)
    throw new TraceError(
      'E_TARGET',
      'legacy and modern transports in one recording: one QEMU cannot have both',
      { expected: 'all of version 1 or all of version 2', got: 'both' },
    );
  const legacy = versions.has(1);
  const { length } = machineRam(setup.ram);
  const args = [
    ...['-M', 'virt,memory-backend=ram', '-cpu', 'cortex-a57', '-accel', 'tcg', '-m', `${length / MIB}M`],
    ...['-object', `memory-backend-file,id=ram,size=${length},mem-path=/proc/self/fd/${RAM_FD},share=on`],
    ...['-nodefaults', '-no-user-config', '-display', 'none'],
    // Not -S: a stopped machine's network card neither sends nor receives.
    ...['-global', 'cortex-a57-arm-cpu.start-powered-off=on'],
    // With ioeventfd QEMU 10 takes notifies out of order with the other accesses.
    ...['-global', 'virtio-mmio.ioeventfd=off'],
    ...['-global', `virtio-mmio.force-legacy=${legacy ? 'on' : 'off'}`],
    ...['-chardev', `socket,id=qtest,fd=${QTEST_FD}`, '-qtest', 'chardev:qtest', '-qtest-log', 'none'],
    ...monitorArguments(QMP_FD),
  ];
  const peers: PeerPlan[] = [];
  for (const plan of setup.devices) {
    const replaced = swap.get(plan.transport);
    if (replaced !== undefined) args.push(...replaced);
    else args.push(...deviceArguments(plan, qemu, peers));
  }
  return { args, peers };
}

function deviceArguments(plan: DevicePlan, qemu: Capabilities, peers: PeerPlan[]): string[] {
  const { transport, kind } = plan;
  const known = qemu.properties.get(kind);
  if (known === undefined)
    throw new TraceError('E_TARGET', `${qemu.name} lacks ${DEVICE_TYPES[kind]}`, {
      expected: `the device model of transport ${transport}`,
    });
  const fd = (port = 0): number => FIRST_PEER_FD + peers.push({ transport, kind, port }) - 1;
  const id = deviceId(plan);
  const words = [DEVICE_TYPES[kind], `id=${id}`, `bus=virtio-mmio-bus.${transport}`];
  const before: string[] = [];
  const after: string[] = [];
  switch (kind) {
    case 'blk': {
      const { readOnly = false, serial = '' } = plan.disk ?? {};
      before.push(
        '-blockdev',
        `driver=nbd,node-name=disk${transport},server.type=fd,server.str=${fd()}` +
          `,read-only=${readOnly ? 'on' : 'off'},discard=unmap`,
      );
      // Merged requests would not be the recorded ones any more.
      words.push(`drive=disk${transport}`, 'request-merging=off');
      if (serial !== '') words.push(`serial=${serial.replaceAll(',', ',,')}`);
      break;
    }
    case 'net': {
      before.push('-netdev', `stream,id=net${transport},server=off,addr.type=fd,addr.str=${fd()}`);
      words.push(`netdev=net${transport}`);
      if (plan.mac !== undefined)
        words.push(`mac=${Array.from(plan.mac, (byte) => byte.toString(16).padStart(2, '0')).join(':')}`);
      break;
    }
    case 'console':
      for (const port of consolePorts(plan)) {
        // A port that nobody had opened outside does not say that it is open.
        const chardev = port.connected === false ? 'null' : `socket,fd=${fd(port.id)}`;
        before.push('-chardev', `${chardev},id=port${transport}-${port.id}`);
        after.push(
          '-device',
          `${port.console ? 'virtconsole' : 'virtserialport'},bus=${id}.0,nr=${port.id}` +
            `,chardev=port${transport}-${port.id}` +
            (port.name === '' ? '' : `,name=${port.name.replaceAll(',', ',,')}`),
        );
      }
      break;
    case 'gpu':
      break;
  }
  words.push(...deviceProperties(plan, known));
  return [...before, '-device', words.join(','), ...after];
}

export function deviceId(plan: DevicePlan): string {
  return `${plan.kind}${plan.transport}`;
}

export function consolePorts({ portList, portsInUse }: DevicePlan): NonNullable<DevicePlan['portList']> {
  if (portList !== undefined && portList.length > 0) return portList;
  // QEMU takes none but a console for port 0.
  const others = (portsInUse ?? []).filter(({ id }) => id > 0);
  return [{ id: 0, console: true, name: '' }, ...others.map(({ id }) => ({ id, console: false, name: '' }))];
}

/** Throws E_NOT_REPLAYABLE if a network card offered what QEMU's has only with a host interface, and that counts. */
export function checkOffloads({ kind, transport, offered }: DevicePlan, ignore: readonly string[]): void {
  if (kind !== 'net' || offered === undefined) return;
  const lacking = [
    ...((offered[0] & NET_F_OFFLOADS_LOW) !== 0 ? ['net-header'] : []),
    ...((offered[1] & NET_F_OFFLOADS_HIGH) !== 0 ? ['register:DeviceFeatures'] : []),
  ].filter((policy) => !ignore.includes(policy));
  if (lacking.length === 0) return;
  throw new TraceError(
    'E_NOT_REPLAYABLE',
    `transport ${transport} is a network card that left checksums and segmentation to a host interface (tap), which QEMU's stream network cannot`,
    { expected: `--model builtin, or --ignore ${lacking.join(',')} to have all else compared` },
  );
}

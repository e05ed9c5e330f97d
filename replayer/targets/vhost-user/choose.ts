import { TraceError } from '../../../trace/errors.ts';
import type { DevicePlan } from '../../target.ts';
import { stockCommand, type BackendChoice } from './backend.ts';
import { splitCommand } from './command.ts';

/** Who serves a device. */
export interface BackendOption {
  /** Number of the transport; without it the recording's only device, or its only block device. */
  transport?: number;
  /** Command line that starts it; {socket} and {disk} stand for the paths of its socket and its disk. */
  command?: string;
  /** Path of the socket of one that runs already. */
  socket?: string;
}

/** Back-ends for the devices of a recording: those asked for, or what the machine has for devices that `can` be served. */
export function choose(
  devices: readonly DevicePlan[],
  options: readonly BackendOption[],
  can: (plan: DevicePlan) => boolean = () => true,
): BackendChoice[] {
  if (options.length === 0) {
    const found = devices.flatMap((plan) => {
      const command = can(plan) ? stockCommand(plan) : undefined;
      return command === undefined ? [] : [{ plan, command }];
    });
    if (found.length > 0) return found;
    throw new TraceError(
      'E_TARGET',
      'no vhost-user back-end that is on this machine can serve a device of the recording',
      {
        expected:
          'qemu-storage-daemon for a block device, vhost-user-gpu for a gpu (behind QEMU: modern ones alone), or one that you name',
        got:
          devices
            .map(({ kind, transport, version }) => `${kind} ${transport}${version === 1 ? ' (legacy)' : ''}`)
            .join(', ') || 'no device',
      },
    );
  }
  const choices = options.map((option) => {
    const plan = planOf(devices, option);
    if (option.command !== undefined) return { plan, command: splitCommand(option.command) };
    return { plan, socket: option.socket ?? '' };
  });
  const twice = choices.find(({ plan }, i) => choices.findIndex((other) => other.plan === plan) !== i);
  if (twice !== undefined)
    throw new TraceError('E_USAGE', `transport ${twice.plan.transport} has two back-ends`);
  return choices;
}

function planOf(devices: readonly DevicePlan[], { transport }: BackendOption): DevicePlan {
  const blocks = devices.filter(({ kind }) => kind === 'blk');
  const fitting =
    transport !== undefined
      ? devices.filter((plan) => plan.transport === transport)
      : devices.length === 1
        ? devices
        : blocks;
  const [plan] = fitting;
  if (plan !== undefined && fitting.length === 1) return plan;
  throw new TraceError(
    'E_USAGE',
    transport === undefined
      ? 'say which transport the back-end serves: N=…'
      : `the recording has no transport ${transport}`,
    { expected: devices.map((d) => `${d.transport} (${d.kind})`).join(', ') || 'a recording with devices' },
  );
}

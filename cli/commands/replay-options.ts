import { InvalidArgumentError } from 'commander';
import type { Prepared } from '../../replayer/prepare.ts';
import type { ReplayOptions } from '../../replayer/run.ts';
import type { MakeTarget } from '../../replayer/target.ts';
import type { BackendOption } from '../../replayer/targets/vhost-user/target.ts';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';
import type { ReplayInput } from './replay-input.ts';

export const MODELS = ['builtin', 'qemu', 'vhost-user'] as const;
export type Model = (typeof MODELS)[number];

/** An image, of a transport or of the only block device. */
export interface Image {
  transport?: number;
  path: string;
}

/** What decides what is replayed into what. Everything but the path may be left out. */
export interface ReplayFlags {
  model?: Model;
  /** Source of the trace. */
  source?: string;
  disk?: readonly Image[];
  end?: readonly Image[];
  /** Policies. */
  ignore?: readonly string[];
  /** Milliseconds. */
  timeout?: number;
  /** Command line of QEMU. */
  qemu?: string;
  backend?: readonly BackendOption[];
  socket?: readonly BackendOption[];
  rings?: 'own' | 'guest';
}

export interface OpenedReplay extends ReplayInput {
  options: ReplayOptions;
  prepared: Prepared;
  make: MakeTarget;
}

/**
 * Opens a recording for a replay: rejects with E_USAGE, and as openRecording and prepare do. Nothing is started.
 */
export async function openReplay(cli: Cli, path: string, flags: ReplayFlags): Promise<OpenedReplay> {
  const [{ openRecording }, { prepare }] = await Promise.all([
    import('./replay-input.ts'),
    import('../../replayer/prepare.ts'),
  ]);
  const input = await openRecording(cli, path, flags.source);
  const options = await optionsOf(input, flags);
  const make = await targetOf(flags);
  return { ...input, options, make, prepared: prepare(input.recording, options) };
}

async function optionsOf({ recording }: ReplayInput, flags: ReplayFlags): Promise<ReplayOptions> {
  const disks = await imagesOf(recording, flags.disk ?? [], '--disk');
  const ends = await imagesOf(recording, flags.end ?? [], '--end');
  return {
    disks,
    ends,
    ignore: flags.ignore ?? [],
    ...(flags.timeout === undefined ? {} : { timeoutMs: flags.timeout }),
  };
}

/** Reads the images; one without a transport is that of the only block device. */
async function imagesOf(
  recording: ReplayInput['recording'],
  images: readonly Image[],
  option: string,
): Promise<Map<number, Uint8Array>> {
  const found = new Map<number, Uint8Array>();
  if (images.length === 0) return found;
  const [{ planDevices }, { unpacked }] = await Promise.all([
    import('../../replayer/recording/plan.ts'),
    import('./replay-input.ts'),
  ]);
  const blocks = planDevices(recording).devices.filter(({ kind }) => kind === 'blk');
  for (const { transport, path } of images) {
    const number = transport ?? (blocks.length === 1 ? blocks[0]!.transport : undefined);
    if (number === undefined) {
      const several = blocks.map((plan) => plan.transport).join(', ');
      throw new TraceError('E_USAGE', `${option} ${path}: say of which transport, N=${path}`, {
        expected: several === '' ? 'none: there is no block device' : several,
      });
    }
    if (found.has(number)) throw new TraceError('E_USAGE', `${option}: transport ${number} has two images`);
    found.set(number, unpacked(path));
  }
  return found;
}

async function targetOf({
  model = 'builtin',
  qemu,
  backend = [],
  socket = [],
  rings,
}: ReplayFlags): Promise<MakeTarget> {
  switch (model) {
    case 'builtin':
      return (await import('../../replayer/targets/builtin.ts')).builtinTarget();
    case 'qemu': {
      const { splitCommand } = await import('../../replayer/targets/vhost-user/command.ts');
      const { qemuTarget } = await import('../../replayer/targets/qemu/target.ts');
      return qemuTarget(qemu === undefined ? {} : { binary: splitCommand(qemu) });
    }
    case 'vhost-user': {
      const { splitCommand } = await import('../../replayer/targets/vhost-user/command.ts');
      const { vhostUserTarget } = await import('../../replayer/targets/vhost-user/target.ts');
      return vhostUserTarget({
        backends: [...backend, ...socket],
        ...(qemu === undefined ? {} : { qemu: splitCommand(qemu) }),
        ...(rings === undefined ? {} : { rings }),
      });
    }
  }
}

/** N=REST, or REST alone. */
function numbered(text: string): { transport?: number; rest: string } {
  const [, number, rest] = /^(?:(\d{1,5})=)?(.+)$/s.exec(text) ?? [];
  if (rest === undefined) throw new InvalidArgumentError('Expected N=PATH, N being a transport number.');
  return number === undefined ? { rest } : { transport: Number(number), rest };
}

/** Parsers of options that may be repeated. */
export function imageOption(text: string, before: Image[] = []): Image[] {
  const { rest, ...where } = numbered(text);
  return [...before, { ...where, path: rest }];
}

export function commandOption(text: string, before: BackendOption[] = []): BackendOption[] {
  const { rest, ...where } = numbered(text);
  return [...before, { ...where, command: rest }];
}

export function socketOption(text: string, before: BackendOption[] = []): BackendOption[] {
  const { rest, ...where } = numbered(text);
  return [...before, { ...where, socket: rest }];
}

import { hasFeature, type Features } from '../../../devices/features.ts';
import { BLOCK_CONFIG, BLOCK_CONFIG_BYTES } from '../../../devices/models/block-format.ts';
import { GPU_CONFIG_BYTES } from '../../../devices/models/gpu-format.ts';
import type { DevicePlan } from '../../target.ts';

/** struct virtio_gpu_config: events_read, events_clear, num_scanouts belong to who shows the screen. */
const GPU_OWN_BYTES = 12;

/** Bytes that a back-end can be asked for: one refuses more than its own structure holds. */
export function configLength(kind: DevicePlan['kind']): number {
  return kind === 'gpu' ? GPU_CONFIG_BYTES : kind === 'blk' ? BLOCK_CONFIG_BYTES : Infinity;
}

/** Feature bit without which a field of virtio-blk's configuration space means nothing (VIRTIO 1.2, 5.2.4). */
const BLOCK_FIELD_FEATURE: readonly (readonly [prefix: string, feature: number])[] = [
  ['size_max', 1],
  ['seg_max', 2],
  ['geometry.', 4],
  ['blk_size', 6],
  ['topology.', 10],
  ['writeback', 11],
  ['num_queues', 12],
  ['max_discard_', 13],
  ['discard_', 13],
  ['max_write_zeroes_', 14],
  ['write_zeroes_', 14],
];

/**
 * The configuration space that the guest reads: the back-end's, but for bytes that a front-end answers for: fields
 * of features that the back-end does not have, and what it does not hold at all. Those are as they were recorded.
 */
export function shownConfig(
  plan: Pick<DevicePlan, 'kind' | 'config'>,
  backend: Uint8Array | undefined,
  features: Features,
): Uint8Array {
  const recorded = plan.config?.bytes ?? new Uint8Array(0);
  const shown = Uint8Array.from(recorded);
  if (backend === undefined) return shown;
  for (let i = 0; i < shown.length && i < backend.length; i++)
    if (isBackends(plan.kind, i, features)) shown[i] = backend[i]!;
  return shown;
}

/** Whether the byte at `offset` of the configuration space is the back-end's to say. */
export function isBackends(kind: DevicePlan['kind'], offset: number, features: Features): boolean {
  if (kind === 'gpu') return offset >= GPU_OWN_BYTES;
  if (kind !== 'blk') return true;
  const field = BLOCK_CONFIG.find((f) => offset >= f.offset && offset < f.offset + f.size);
  if (field === undefined) return false;
  const need = BLOCK_FIELD_FEATURE.find(([prefix]) => field.name.startsWith(prefix));
  return need === undefined || hasFeature(features, need[1]);
}

import { REC_TAG } from '../../trace/recording.ts';
import { VIRTIO_MMIO_WINDOW } from '../../trace/virtio-mmio.ts';
import { address, type Recording } from './load.ts';

/**
 * For a step, the step of the last access to a replayed device at or before it (0 if there is none): the place of an
 * interrupt that was noticed then. `slots`: 1 = replayed. The steps are gathered when first asked for.
 */
export function accessesBefore(recording: Recording, slots: Uint8Array): (step: number) => number {
  let steps: Uint32Array | undefined;
  return (step) => {
    steps ??= stepsOfAccesses(recording, slots);
    let [low, high] = [0, steps.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (steps[middle]! <= step) low = middle + 1;
      else high = middle;
    }
    return steps[low - 1] ?? 0;
  };
}

function stepsOfAccesses(recording: Recording, slots: Uint8Array): Uint32Array {
  const found = new Uint32Array(recording.accesses);
  let n = 0;
  for (const batch of recording.batches) {
    for (let i = 0; i < batch.length; i++) {
      const tag = batch.tag[i];
      if (tag !== REC_TAG.READ && tag !== REC_TAG.WRITE) continue;
      const slot = Math.floor((address(batch, i) - recording.layout.base) / VIRTIO_MMIO_WINDOW);
      if (slots[slot] === 1) found[n++] = batch.step[i]!;
    }
  }
  return found.subarray(0, n);
}

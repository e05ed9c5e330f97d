import { REC_TAG, type RecordingBatch } from '../../../trace/recording.ts';
import { NO_VCPU } from '../../../trace/ids.ts';

/**
 * The rows of a recording as text, one line each, LF after every line, no spaces: the canonical spelling
 * (docs/ACCESS-JSONL.md). Reading it gives the same rows, and writing those the same text.
 */
export function writeAccessJsonl(batch: RecordingBatch): string {
  const lines: string[] = [];
  for (let i = 0; i < batch.length; i++) lines.push(line(batch, i));
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function line(batch: RecordingBatch, i: number): string {
  const tag = batch.tag[i]!;
  const rest = batch.rest[i] ?? '';
  if (tag === REC_TAG.OTHER) return `{${rest}}`;
  let text = `{"t":"${String.fromCharCode(tag)}"`;
  switch (tag) {
    case REC_TAG.READ:
    case REC_TAG.WRITE:
      text += `,"a":${u64(batch.addr, i)},"s":${batch.size[i]!},"v":${u64(batch.value, i)}`;
      if (batch.vcpu[i] !== NO_VCPU) text += `,"c":${batch.vcpu[i]!}`;
      break;
    case REC_TAG.MEMORY:
      text += `,"a":${u64(batch.addr, i)},"n":${batch.size[i]!}`;
      break;
    case REC_TAG.NOTIFY:
    case REC_TAG.KICK:
      text += `,"d":${batch.transport[i]!},"q":${batch.queue[i]!},"adv":${batch.adv[i]!}`;
      break;
    case REC_TAG.USED:
      text += `,"d":${batch.transport[i]!}`;
      break;
    case REC_TAG.IRQ:
      text += `,"irq":${u64(batch.addr, i)},"l":${u64(batch.value, i)}`;
      break;
  }
  if (rest !== '') text += `,${rest}`;
  if (tag === REC_TAG.MEMORY) text += `,"b":"${Buffer.from(batch.payload(i)).toString('base64')}"`;
  return `${text},"i":${batch.step[i]!}}`;
}

function u64(column: Uint32Array, i: number): string {
  const lo = column[2 * i]!;
  const hi = column[2 * i + 1]!;
  return hi < 0x200000 ? String(hi * 0x100000000 + lo) : ((BigInt(hi) << 32n) | BigInt(lo)).toString();
}

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { it } from 'vitest';
import { Recording } from '../../recording/load.ts';
import { replayRecording } from '../../replay.ts';
import { batchesOf, shared, unxz } from '../../testing/recordings.ts';
import { qemuTarget } from '../qemu/target.ts';
import { startImage } from '../../../fixtures/qemu-virt/disk.ts';

it('scratch', async () => {
  const show = async (name: string, text: Buffer, disks: Map<number, Uint8Array>, ends?: Map<number, Uint8Array>) => {
    try {
      const r = await replayRecording(new Recording(batchesOf(text)), qemuTarget(), { disks, ...(ends ? { ends } : {}), runs: Number(process.env['RUNS'] ?? 1), timeoutMs: 5000 });
      console.log(r.equal ? 'EQUAL ' : 'DIFF  ', name, r.target, r.proven, JSON.stringify(r.unproven), JSON.stringify(r.compared), JSON.stringify(r.ignored.filter((x) => x.count > 0)), new Set(r.runs.map((x) => x.hash)).size, r.runs.map((x) => x.wallMs).join(), r.divergenceCount, JSON.stringify(r.divergences.slice(0, 3)));
    } catch (e) {
      console.log('FAIL', name, String(e), (e as Error).stack);
    }
  };
  const only = process.env['ONLY'] ?? '';
  if ('legacy'.includes(only)) await show('legacy', shared('xen-arm-replay/blk-legacy.jsonl'), new Map([[0, shared('xen-arm-replay/disk-start.img')]]), new Map([[0, shared('xen-arm-replay/disk-end.img')]]));
  if ('modern'.includes(only)) await show('modern', shared('qemu-virt/modern-blk-net-serial-gpu.jsonl'), new Map([[0, shared('qemu-virt/disk-start.img')]]));
  for (const dir of ['/tmp/W/rec', '/tmp/W/rec10'])
    if (existsSync(dir)) for (const f of readdirSync(dir).filter((x) => x.endsWith('.xz') && (dir + x).includes(only)))
      await show(dir + '/' + f, unxz(dir + '/' + f), /blk|all/.test(f) ? new Map([[0, startImage()]]) : new Map());
}, 600000);

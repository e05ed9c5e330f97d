import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { EventBatch } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';
import { FileSource } from '../input/file-source.ts';
import { XentraceDecoder } from './xentrace.ts';
import { KNOWN } from './xentrace/records.ts';

/**
 * Against xenalyze, Xen's own reader of these files (Debian: xen-utils-common). Its dump of what it reads
 * has one line a record: `R p CPU oOFFSET id count time [words] | ...`. Its analysis is left out: it gives
 * up on windows from the middle of a recording, whose states it does not know.
 */
const installed = spawnSync('xenalyze', ['--help']).error === undefined;
if (!installed) console.warn('SKIPPED: xenalyze is not installed, the decoder is not compared with it');

const NAME_TO_ID = new Map(KNOWN.map((record) => [record.name, record.id]));

interface PeerRecord {
  cpu: number;
  time: bigint;
  text: string;
}

function byXenalyze(path: string): PeerRecord[] {
  const options = ['--cpu-hz=62500000', '--dump-raw-reads', '--dump-no-processing'];
  const { stdout } = spawnSync('xenalyze', [...options, path], { encoding: 'utf8', maxBuffer: 1 << 28 });
  const line = /^R p *(\d+) o[0-9a-f]+ +([0-9a-f]+) (\d) +(\d+|-) \[(.*?)\]/gm;
  return [...stdout.matchAll(line)]
    .filter(([, , id]) => id !== '1f002' && id !== '1f003')
    .map(([, cpu, id, count, time, words]) => ({
      cpu: Number(cpu),
      time: BigInt(time!),
      text: `${id!} ${count!} ${words!.trim().split(/\s+/).join(' ')}`,
    }))
    .sort((a, b) => Number(a.time - b.time) || a.cpu - b.cpu);
}

describe.skipIf(!installed)('xenalyze agrees', () => {
  it.each(['unpatched', 'arm-points'])('%s', (name) => {
    const path = fileURLToPath(new URL(`../../fixtures/raw/xentrace/${name}.bin`, import.meta.url));
    const theirs = byXenalyze(path);
    const source = new FileSource(path);
    const decoder = new XentraceDecoder(source);
    const batch = new EventBatch();
    expect(decoder.fill(batch)).toBe(false);
    source.close();

    expect(theirs.length).toBeGreaterThan(1000);
    expect(batch.length).toBe(theirs.length);
    const ours = Array.from({ length: batch.length }, (_, i) => decoder.clock.epoch + BigInt(batch.ts[i]!));
    expect(ours).toEqual(theirs.map((record) => record.time));
    expect([...batch.cpu.subarray(0, batch.length)]).toEqual(theirs.map((record) => record.cpu));

    // The same records one by one: words of those that are carried as they stand, kinds of all.
    const counts = new Map<string, number>();
    for (let i = 0; i < batch.length; i++) {
      const { text } = theirs[i]!;
      const [id, ...rest] = text.split(' ');
      counts.set(id!, (counts.get(id!) ?? 0) + 1);
      if (batch.kind[i] !== K.XEN_OTHER) {
        expect(KNOWN.find((record) => record.id === parseInt(id!, 16))?.kind).toBe(batch.kind[i]);
        continue;
      }
      const words = [
        ...batch.addr.subarray(2 * i, 2 * i + 2),
        ...batch.data.subarray(2 * i, 2 * i + 2),
        batch.arg2[i]!,
        batch.arg3[i]!,
        batch.domid[i]! + batch.vcpu[i]! * 65_536,
      ].slice(0, batch.arg1[i]);
      expect([batch.arg0[i]!, batch.arg1[i]!, ...words].map((n) => n.toString(16)).join(' ')).toBe(
        [id, ...rest].filter((part) => part !== '').join(' '),
      );
    }
    for (const [record, count] of decoder.report.byName) {
      if (record === 'cpu_change' || record === 'wrap_buffer') continue;
      const id = (NAME_TO_ID.get(record) ?? Number(record)).toString(16);
      expect([record, counts.get(id)]).toEqual([record, count]);
    }
  });
});

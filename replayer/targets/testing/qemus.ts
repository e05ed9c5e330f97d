import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { defaultBinary } from '../qemu/process.ts';

export interface FoundQemu {
  label: string;
  binary: readonly string[];
}

/** Where fetch-qemu.sh puts the QEMU of a newer Debian. */
const FETCHED = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'ioreq-trace',
  'replay-qemu',
  'qemu-system-aarch64',
);

/** The machine's own QEMU (or IOREQ_TRACE_QEMU) and the fetched one, as far as they are here; warns of those missing. */
export function qemus(): FoundQemu[] {
  const found: FoundQemu[] = [];
  const own = defaultBinary();
  if (spawnSync(own[0]!, [...own.slice(1), '--version']).status === 0)
    found.push({ label: 'the QEMU of this machine', binary: own });
  else console.warn(`SKIPPED: replay in ${own.join(' ')}, because it is not installed`);
  if (existsSync(FETCHED)) found.push({ label: 'the fetched QEMU', binary: [FETCHED] });
  else
    console.warn(
      'SKIPPED: replay in a newer QEMU, because replayer/targets/testing/fetch-qemu.sh was not run',
    );
  return found;
}

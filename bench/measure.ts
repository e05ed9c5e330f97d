import { spawnSync } from 'node:child_process';

/** What one run took, in seconds; `cpu` is user plus system. */
export interface Cost {
  cpu: number;
  wall: number;
}

/** Runs `work` in this process. V8's own threads (compiler, collector) count in `cpu`. */
export function timed(work: () => void): Cost {
  const cpu = process.cpuUsage();
  const wall = performance.now();
  work();
  const used = process.cpuUsage(cpu);
  return { cpu: (used.user + used.system) / 1e6, wall: (performance.now() - wall) / 1e3 };
}

/** Runs a peer with its output thrown away. Throws if it fails. */
export function timedPeer(command: string, args: readonly string[]): Cost {
  const wall = performance.now();
  // The shell's `times` gives the child's CPU seconds; Node has no getrusage for children.
  const script = '"$@" >/dev/null 2>&1; code=$?; times; exit $code';
  const child = spawnSync('bash', ['-c', script, 'bash', command, ...args], { encoding: 'utf8' });
  const spent = (performance.now() - wall) / 1e3;
  if (child.status !== 0) throw new Error(`${command} failed (${child.status ?? 'killed'}): ${child.stderr}`);
  const times = [...child.stdout.matchAll(/(\d+)m([\d.]+)s/g)].map((m) => Number(m[1]) * 60 + Number(m[2]));
  // Two lines: the shell itself, then its children; user and system each.
  return { cpu: times[2]! + times[3]!, wall: spent };
}

/** The least of each, not always of one round: on a shared machine the least is what the work itself takes. */
export function best(costs: readonly Cost[]): Cost {
  return { cpu: Math.min(...costs.map((c) => c.cpu)), wall: Math.min(...costs.map((c) => c.wall)) };
}

/** Title line over `rateRow`s; `unit` in three or so letters. */
export function rateTitle(unit: string): string {
  return `${''.padEnd(40)}   CPU s  wall s${`M ${unit}/CPU s`.padStart(14)}${`M ${unit}/wall s`.padStart(14)}`;
}

export function rateRow(name: string, count: number, { cpu, wall }: Cost): string {
  const rate = (seconds: number): string => (count / seconds / 1e6).toFixed(2).padStart(14);
  const cells = [name.padEnd(40), cpu.toFixed(2).padStart(8), wall.toFixed(2).padStart(8)];
  return `${cells.join('')}${rate(cpu)}${rate(wall)}`;
}

/** Whether the peers are there; says which Debian package has a missing one. */
export function havePeers(peers: Readonly<Record<string, string>>): boolean {
  for (const [command, pack] of Object.entries(peers)) {
    if (spawnSync(command, ['--version']).error === undefined) continue;
    console.error(`bench: ${command} is not installed (Debian package ${pack}); nothing to compare with`);
    return false;
  }
  return true;
}

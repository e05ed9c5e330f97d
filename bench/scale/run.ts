import { spawnSync } from 'node:child_process';

/** What one run of a program of this build took. */
export interface Run {
  wall: number;
  cpu: number;
  rssMb: number;
  stdout: string;
}

/** Runs a module of this build in a process of its own, which tells what it took on the last line of stderr. */
export function run(module: string, ...args: string[]): Run {
  const wrapper = `import { readFileSync } from 'node:fs';
process.on('exit', () => {
  const { user, system } = process.cpuUsage();
  const peak = /VmHWM:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1];
  process.stderr.write('\\ntook ' + (user + system) + ' ' + peak + '\\n');
});
await import(${JSON.stringify(module)});`;
  const begin = performance.now();
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', wrapper, '--', module, ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const wall = (performance.now() - begin) / 1e3;
  const took = /took (\d+) (\d+)\s*$/.exec(child.stderr);
  if (child.status !== 0 || took === null) throw new Error(`${module} ${args.join(' ')}: ${child.stderr}`);
  return { wall, cpu: Number(took[1]) / 1e6, rssMb: Number(took[2]) / 1024, stdout: child.stdout };
}

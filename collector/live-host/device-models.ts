import type { DeviceModelView } from '../probes/host-view.ts';
import { parseQemuArgs } from './qemu-args.ts';
import type { Sections } from './sections.ts';
import type { Store } from './xenstore.ts';
import { wholeNumber } from './xenstore.ts';

/** A process that maps pages of other domains. */
export interface Process {
  pid: number;
  startTime: string;
  name: string;
  words: string[];
  cwd: string;
  /** Where each file descriptor points, by number. */
  fds: Map<number, string>;
  threads: { tid: number; name: string }[];
  maps: string;
}

/** Parts of the toolstack: they map rings of other domains, a page each, and no ioreq page. */
const TOOLSTACK =
  /^(o?xenstored|xenconsoled|xenbaked|xentrace|xenpaging|xl|xenwatchdogd|xen-init-dom0|libvirtd|xenopsd)/;

export function parseProcesses(sections: Sections): Process[] {
  const pids = new Set<number>();
  for (const name of sections.keys()) {
    const pid = /^proc (\d{1,10}) stat$/.exec(name)?.[1];
    if (pid !== undefined) pids.add(Number(pid));
  }
  const processes: Process[] = [];
  for (const pid of pids) {
    const part = (name: string): string => sections.get(`proc ${pid} ${name}`) ?? '';
    const startTime = startOf(part('stat'));
    // It ended while it was looked at.
    if (startTime === undefined || part('maps') === '') continue;
    processes.push({
      pid,
      startTime,
      name: part('comm'),
      words: part('cmdline').replace(/\0$/, '').split('\0'),
      cwd: part('cwd'),
      fds: parseFds(part('fd')),
      threads: parseThreads(pid, part('tasks'), part('comm')),
      maps: `${part('maps')}\n`,
    });
  }
  return processes.sort((a, b) => a.pid - b.pid);
}

/** Field 22 of /proc/PID/stat; the name, field 2, may hold blanks and brackets. */
export function startOf(stat: string): string | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return /^\d+$/.test(fields[19] ?? '') ? fields[19] : undefined;
}

function parseThreads(pid: number, tasks: string, name: string): Process['threads'] {
  const threads: Process['threads'] = [];
  for (const [, tid, comm] of tasks.matchAll(/^(\d{1,10}) (.*)$/gm))
    threads.push({ tid: Number(tid), name: comm! });
  if (!threads.some(({ tid }) => tid === pid)) threads.push({ tid: pid, name });
  return threads.sort((a, b) => Number(b.tid === pid) - Number(a.tid === pid) || a.tid - b.tid);
}

/** `ls -l /proc/PID/fd`. */
function parseFds(text: string): Map<number, string> {
  const fds = new Map<number, string>();
  for (const [, fd, to] of text.matchAll(/^l.* (\d{1,7}) -> (.+)$/gm)) fds.set(Number(fd), to!);
  return fds;
}

/**
 * Mappings of an ioreq page: shared, writable, of /dev/xen/privcmd and of one page; guest memory is mapped in larger
 * parts. Older device models map the page of buffered ioreqs before it: two pages, the second being the ioreqs'.
 * Where there are several, some are guest memory that is mapped page by page: the ioreq page was mapped first, and
 * Linux hands out addresses from the top. Gives addresses in hex with 0x, the most likely one first.
 */
export function ioreqPages(maps: string, pageBytes: number): string[] {
  const one: bigint[] = [];
  const two: bigint[] = [];
  for (const [, from, to] of maps.matchAll(
    /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) rw-s \S+ \S+ \S+ +\/(?:dev|proc)\/xen\/privcmd/gm,
  )) {
    const start = BigInt(`0x${from!}`);
    const length = BigInt(`0x${to!}`) - start;
    if (length === BigInt(pageBytes)) one.push(start);
    if (length === BigInt(2 * pageBytes)) two.push(start + BigInt(pageBytes));
  }
  return (one.length > 0 ? one : two).reverse().map((address) => `0x${address.toString(16)}`);
}

/** The device models of a domain: processes with an ioreq page that serve it or may do so. */
export function deviceModelsOf(
  domain: { domid: number; name: string },
  processes: readonly Process[],
  store: Store,
  interrupts: string,
  pageBytes: number,
): DeviceModelView[] {
  const models: DeviceModelView[] = [];
  for (const process of processes) {
    if (TOOLSTACK.test(process.name)) continue;
    const pages = ioreqPages(process.maps, pageBytes);
    const qemu = parseQemuArgs(process.words);
    const by = servesBy(domain, process, qemu.domid, store);
    if (by === undefined || (pages.length === 0 && by === 'assumed')) continue;
    const kind = kindOf(process, qemu.domid);
    const model: DeviceModelView = {
      pid: process.pid,
      startTime: process.startTime,
      name: process.name,
      kind,
      commandLine: process.words.join(' '),
      threads: process.threads,
      ioreqPages: pages.slice(0, 1),
      mappedPages: pages.length,
      by,
      irqs: irqsOf(process.name, interrupts),
      maps: process.maps,
    };
    if (kind === 'qemu') {
      const socket = absolute(qemu.qmpSocket, process.cwd);
      const log =
        absolute(qemu.traceLog?.replaceAll('%d', String(process.pid)), process.cwd) ??
        regularFile(process.fds.get(2));
      if (socket !== undefined) model.qmpSocket = socket;
      if (log !== undefined) model.traceLog = log;
    }
    models.push(model);
  }
  return models;
}

/** How it is known that a process serves the domain; undefined if it serves others or none. */
function servesBy(
  { domid, name }: { domid: number; name: string },
  process: Process,
  qemuDomid: number | undefined,
  store: Store,
): string | undefined {
  if (qemuDomid !== undefined) return qemuDomid === domid ? 'command line' : undefined;
  if (wholeNumber(store.get(`/local/domain/${domid}/image/device-model-pid`)) === process.pid)
    return 'xenstore';
  const named = process.words.flatMap((word, i) => domidOption(word, process.words[i + 1]));
  if (named.length > 0) {
    const serves = named.some((value) => value === String(domid) || (name !== '' && value === name));
    return serves ? 'command line' : undefined;
  }
  if (![...process.fds.values()].includes('/dev/xen/evtchn')) return undefined;
  const disks = new RegExp(`^/local/domain/\\d+/backend/virtio_disk/(\\d+)/[^/]+/type$`);
  if (/virtio-disk|demu/.test(process.name)) {
    const served = new Set<number>();
    for (const [path, value] of store)
      if (value === 'standalone') served.add(Number(disks.exec(path)?.[1] ?? -1));
    served.delete(-1);
    if (served.size > 0) return served.has(domid) ? 'xenstore' : undefined;
  }
  return 'assumed';
}

/** '--domid 5', '--domid=5', '-d 5', 'dom=5'. */
function domidOption(word: string, next: string | undefined): string[] {
  const joined = /^-{0,2}(?:dom|domid|domain|dom-id|guest)[=:](.+)$/.exec(word)?.[1];
  if (joined !== undefined) return [joined];
  return /^--?(?:d|dom|domid|domain|dom-id|guest)$/.test(word) && next !== undefined && !next.startsWith('-')
    ? [next]
    : [];
}

function kindOf({ name, words }: Process, qemuDomid: number | undefined): DeviceModelView['kind'] {
  const program = `${name} ${words[0]?.split('/').at(-1) ?? ''}`;
  if (qemuDomid !== undefined || /qemu/.test(program)) return 'qemu';
  if (/virtio-disk|demu/.test(program)) return 'virtio-disk';
  return /vhost/.test(program) ? 'vhost-user' : 'other';
}

/** irq numbers of event channels that a process of that name bound (drivers/xen/evtchn.c: "evtchn:" and comm). */
function irqsOf(name: string, interrupts: string): number[] {
  const irqs: number[] = [];
  for (const line of interrupts.split('\n')) {
    const [, irq, actions] = /^\s*(\d{1,7}):.*?-event\s+(.*)$/.exec(line) ?? [];
    if (irq !== undefined && actions!.split(', ').includes(`evtchn:${name}`)) irqs.push(Number(irq));
  }
  return irqs;
}

function absolute(path: string | undefined, cwd: string): string | undefined {
  if (path === undefined || path.startsWith('/')) return path;
  return cwd === '' ? undefined : `${cwd}/${path}`;
}

/** A descriptor's target that can be a file with lines in it. */
function regularFile(target: string | undefined): string | undefined {
  const is =
    target?.startsWith('/') === true && !/^\/(dev|proc|sys)\//.test(target) && !target.endsWith(' (deleted)');
  return is ? target : undefined;
}

import { everyLine, parseNumber } from './aux-format.ts';
import type { AuxFormat } from './aux-format.ts';

/** The command line of QEMU, words apart by blanks or (as /proc/PID/cmdline has it) by NUL. */
export const qemuCommandLine: AuxFormat = {
  name: 'qemu-cmdline',
  sniff: (head) => /^[^\s\0]*qemu[^\s\0/]*[\s\0]+-[a-z]/.test(head) && head.trim().split('\n').length === 1,
  read(text, into) {
    const words = text.split(/[\s\0]+/);
    const option = (name: string): string | undefined => words[words.findIndex((word) => word === name) + 1];
    const domid = words.includes('-xen-domid') ? parseNumber(option('-xen-domid')) : undefined;
    if (domid === undefined) return;
    into.commandDomids.push(domid);
    const smp = words.includes('-smp') ? /^(?:cpus=)?(\d+)/.exec(option('-smp') ?? '')?.[1] : undefined;
    if (smp !== undefined && !into.vcpus.has(domid)) into.vcpus.set(domid, Number(smp));
  },
};

/** A QMP session's greeting, as JSON or as Python prints it. */
export const qmpGreeting: AuxFormat = {
  name: 'qmp',
  sniff: (head) => /^\s*\{\s*["']QMP["']\s*:/m.test(head),
  read(text, into) {
    const part = (key: string): string | undefined =>
      new RegExp(`["']${key}["']\\s*:\\s*(\\d+)`).exec(text)?.[1];
    const [major, minor, micro] = [part('major'), part('minor'), part('micro')];
    if (major !== undefined && minor !== undefined)
      into.deviceModel ??= `QEMU ${major}.${minor}.${micro ?? '0'}`;
  },
};

/** Threads of one device model: numbers, each with the same name of a QEMU behind it or with none. */
export const threadList: AuxFormat = {
  name: 'threads',
  sniff: (head) => everyLine(head, /^\s*\d{1,7}(\s+\S*qemu\S*)?\s*$/),
  read(text, into) {
    const threads: number[] = [];
    let name = '';
    for (const line of text.split('\n')) {
      const found = /^\s*(\d+)(?:\s+(\S+))?\s*$/.exec(line);
      if (found === null) continue;
      const pid = Number(found[1]);
      threads.push(pid);
      if (found[2] === undefined) continue;
      name = found[2];
      if (!into.tasks.has(pid)) into.tasks.set(pid, name);
    }
    if (threads.length > 0) into.threadLists.push({ threads, name });
  },
};

/** /proc/PID/maps: known, not used. */
export const processMaps: AuxFormat = {
  name: 'maps',
  sniff: (head) => everyLine(head, /^[0-9a-f]+-[0-9a-f]+ [r-][w-][x-][ps] [0-9a-f]{8,} /, 50),
};

import { parseProbeDefinitions } from '../sources/ftrace/probes.ts';
import { parseTraceClock } from '../sources/ftrace/trace-clock.ts';
import { cpuOfPath } from '../cpu-of-path.ts';
import { everyLine, linesOf } from './aux-format.ts';
import type { AuxFormat } from './aux-format.ts';

/** tracefs events/SYSTEM/EVENT/format. */
export const eventFormat: AuxFormat = {
  name: 'event-format',
  sniff: (head) => /^\s*name:\s*\S+\s*\nID:\s*\d+\s*\nformat:/.test(head),
  read(text, into, file) {
    into.formatTexts.push({ file, text, what: 'format' });
  },
};

/** tracefs events/header_page. */
export const headerPage: AuxFormat = {
  name: 'header-page',
  sniff: (head) => /^\s*field: u64 timestamp;/.test(head),
  read(text, into, file) {
    into.formatTexts.push({ file, text, what: 'header_page' });
  },
};

export const headerEvent: AuxFormat = {
  name: 'header-event',
  sniff: (head) => head.startsWith('# compressed entry header'),
};

/** tracefs trace_clock: all clocks on one line, the one in force in brackets. */
export const traceClock: AuxFormat = {
  name: 'trace-clock',
  sniff: (head) =>
    linesOf(head).length === 1 && /^(\S+ )*\[[\w-]+\]( \S+)*\s*$/.test(head) && /\blocal\b/.test(head),
  read(text, into, file) {
    into.traceClocks.push({ file, name: parseTraceClock(text) });
  },
};

/** tracefs kprobe_events and uprobe_events. */
export const probeDefinitions: AuxFormat = {
  name: 'probes',
  sniff(head) {
    const lines = linesOf(head);
    return lines.length > 0 && parseProbeDefinitions(lines.join('\n')).length === lines.length;
  },
  read(text, into) {
    into.probeTexts.push(text);
  },
};

/** tracefs saved_cmdlines: `pid comm` lines. */
export const savedCommands: AuxFormat = {
  name: 'saved-cmdlines',
  sniff: (head) => everyLine(head, /^\d{1,7} \S.*$/),
  read(text, into) {
    for (const line of text.split('\n')) {
      const found = /^(\d{1,7}) (\S.*)$/.exec(line);
      if (found !== null && !into.tasks.has(Number(found[1]))) into.tasks.set(Number(found[1]), found[2]!);
    }
  },
};

/** tracefs per_cpu/cpuN/stats: what the ring buffer overwrote or dropped. */
export const cpuStats: AuxFormat = {
  name: 'cpu-stats',
  sniff: (head) => /^entries: \d+\s*\noverrun: \d+/.test(head),
  read(text, into, file) {
    const count = (key: string): number => Number(new RegExp(`^${key}: (\\d+)`, 'm').exec(text)?.[1] ?? 0);
    const cpu = cpuOfPath(file);
    if (cpu === undefined) {
      into.warnings.push(`${file}: no CPU number in its name; its losses are not used`);
      return;
    }
    const lost = count('overrun') + count('commit overrun') + count('dropped events');
    into.stats.push({ file, cpu, lost });
  },
};

/** Of these a recorder takes a handful; what is beyond says nothing new. */
const MOST_PAIRS = 1000;

/**
 * Counter and kernel clocks read one after the other: `cntfrq=… cntvct=… mono_raw=… cntvct2=…` lines, Dom0's CNTVCT
 * in ticks before and after the reading of mono_raw in ns.
 */
export const clockSamples: AuxFormat = {
  name: 'clock-samples',
  sniff: (head) => everyLine(head, /\bcntfrq=\d+ .*\bcntvct=\d+ .*\bmono_raw=\d+/),
  read(text, into) {
    const hz = Number(/\bcntfrq=(\d+)/.exec(text)?.[1]);
    if (hz > 0) into.counterHz.samples ??= hz;
    const pairs = /\bcntvct=(\d{1,19}) mono_raw=(\d{1,19}) cntvct2=(\d{1,19})\b/g;
    for (const [, before = '', ns = '', after = ''] of text.matchAll(pairs)) {
      if (into.clockPairs.length >= MOST_PAIRS) return;
      into.clockPairs.push({ before: BigInt(before), ns: BigInt(ns), after: BigInt(after) });
    }
  },
};

/** uname -a. */
export const uname: AuxFormat = {
  name: 'uname',
  sniff: (head) => linesOf(head).length === 1 && /^Linux \S+ \d+\.\d+\S* #/.test(head),
  read(text, into) {
    into.linuxVersion ??= /^Linux \S+ (\S+)/.exec(text)?.[1];
    into.machine ??= /\b(aarch64|armv7l|x86_64)\b/.exec(text)?.[1];
  },
};

/** Files that captures hold and that nothing is taken from. */
export const interrupts: AuxFormat = {
  name: 'interrupts',
  sniff: (head) => /^\s+CPU0(\s+CPU\d+)*\s*$/.test(head.split('\n', 1)[0] ?? ''),
};

export const kallsyms: AuxFormat = {
  name: 'kallsyms',
  sniff: (head) => everyLine(head, /^[0-9a-f]{8,16} [A-Za-z?] \S+/),
};

export const printkFormats: AuxFormat = {
  name: 'printk-formats',
  sniff: (head) => everyLine(head, /^0x[0-9a-f]+ : "/),
};

export const setEvents: AuxFormat = {
  name: 'set-event',
  sniff: (head) => everyLine(head, /^[\w-]+:[\w-]+$/),
};

export const probeProfile: AuxFormat = {
  name: 'probe-profile',
  sniff: (head) => everyLine(head, /^\s+(\/\S+\s+)?[\w-]+\s+\d+(\s+\d+)?\s*$/),
};

/** A kernel's boot messages on a serial line: a guest's or the host's. */
export const console: AuxFormat = {
  name: 'console',
  sniff: (head) => /^\[ *\d+\.\d{6}\] .*\bLinux version /m.test(head),
};

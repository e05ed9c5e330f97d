import type { SymbolView, TracefsView } from '../probes/host-view.ts';
import type { Sections } from './sections.ts';

/** Functions of the kernel that hooks may want (Linux drivers/xen/{evtchn,privcmd}.c, events/events_base.c). */
export const SYMBOLS = [
  'evtchn_interrupt',
  'evtchn_read',
  'evtchn_ioctl',
  'evtchn_write',
  'evtchn_bind_to_user',
  'privcmd_ioctl',
  'privcmd_ioctl_dm_op',
  'HYPERVISOR_dm_op',
  'ioeventfd_interrupt',
  'irqfd_wakeup',
  'irqfd_inject',
  'xen_irq_lateeoi',
  'uptime_proc_show',
] as const;

/** Variables of the kernel that a probe reads; only kernels with CONFIG_KALLSYMS_ALL name them. */
export const DATA_SYMBOLS = ['tk_fast_raw'] as const;

/** Pages of a ring buffer, if events/header_page cannot be read: the kernel's default, one page of memory. */
const DEFAULT_PAGE = 4096;
/** KiB of a CPU's buffer (kernel/trace/trace.c, TRACE_BUF_SIZE_DEFAULT = 1441792). */
const DEFAULT_BUFFER_KIB = 1408;

/** Functions of drivers/xen/privcmd.c. KVM (virt/kvm/eventfd.c) has irqfd_* of its own. */
const OF_PRIVCMD = new Set(['privcmd_ioctl_dm_op', 'ioeventfd_interrupt', 'irqfd_wakeup', 'irqfd_inject']);

interface Symbol {
  full: string;
  name: string;
  module: string | undefined;
}

/**
 * Lines of /proc/kallsyms: `address type name[\t[module]]`; addresses are zero to those without privilege. A name
 * with a suffix of the compiler (.isra.0, .constprop.0, .llvm.N) stands under its plain name, the full one beside it.
 * Of blacklisted functions (debugfs kprobes/blacklist, `0xfrom-0xto<TAB>name`) and those in assembler the kernel
 * refuses kprobe events.
 */
export function parseSymbols(kallsyms: string, blacklist: string): Map<string, SymbolView> {
  const refused = new Set(
    [...blacklist.matchAll(/^0x[0-9a-f]+-0x[0-9a-f]+\s+(\S+)/gm)].map(([, name]) => name!),
  );
  const symbols = new Map<string, SymbolView>();
  for (const { full, name, module } of ownSymbols(kallsyms)) {
    const before = symbols.get(name);
    if (before !== undefined) {
      before.count++;
      continue;
    }
    const view: SymbolView = { count: 1 };
    if (module !== undefined) view.module = module;
    if (full !== name) view.symbol = full;
    if (refused.has(full)) {
      view.refused = true;
      view.why = "it is on the kernel's list of functions never to be probed";
    } else if (name.startsWith('HYPERVISOR_')) {
      // Unknown to the function tracer, and kprobe events are refused for such (CONFIG_KPROBE_EVENTS_ON_NOTRACE).
      view.refused = true;
      view.why = 'it is written in assembler, and the kernel refuses kprobe events on such functions';
    }
    symbols.set(name, view);
  }
  return symbols;
}

function ownSymbols(kallsyms: string): Symbol[] {
  const found: Symbol[] = [];
  for (const [, type = '', full = '', module] of kallsyms.matchAll(
    /^[0-9a-f]+ ([A-Za-z]) ([\w.$]+)(?:[ \t]+\[([\w-]+)\])?[ \t]*$/gm,
  )) {
    const name = full.split('.', 1)[0]!;
    if ((DATA_SYMBOLS as readonly string[]).includes(full) && /[dDbBrR]/.test(type)) {
      found.push({ full, name, module });
      continue;
    }
    // A variable of that name cannot be probed, nor is a part that the compiler moved away the function.
    if (!/[tTwW]/.test(type) || /\.(cold|part)(\.|$)/.test(full)) continue;
    if ((SYMBOLS as readonly string[]).includes(name)) found.push({ full, name, module });
  }
  const privcmd = found.find(({ name }) => name === 'privcmd_ioctl');
  // Without the one the kernel was built without CONFIG_XEN_PRIVCMD_EVENTFD, and irqfd_* are KVM's.
  const eventfd = found.some(({ name }) => name === 'ioeventfd_interrupt');
  return found.filter(
    ({ name, module }) =>
      !OF_PRIVCMD.has(name) || (privcmd?.module === module && (eventfd || !name.startsWith('irqfd_'))),
  );
}

/** What `tracefs` and the sections about it say. */
export function parseTracefs(sections: Sections, root: boolean, lockdown: string | undefined): TracefsView {
  const [path = '', ...states] = (sections.get('tracefs') ?? '').split('\n');
  const has = (state: string): boolean => states.includes(state);
  const clocks = (sections.get('trace_clock') ?? '').split(/[\s[\]]+/).filter((name) => name !== '');
  const data = /field: char data;\s*offset:(\d+);\s*size:(\d+);/.exec(sections.get('header_page') ?? '');
  const kib = /^(?:\d+ \(expanded: (\d+)\)|(\d+))/.exec(sections.get('buffer_size_kb') ?? '');
  const events = (sections.get('events') ?? '').matchAll(/^(\w+\/\w+)\/$/gm);
  const view: TracefsView = {
    instances: has('instances writable'),
    kprobes: has('kprobe_events writable'),
    clocks,
    pageBytes: data === null ? DEFAULT_PAGE : Number(data[1]) + Number(data[2]),
    bufferKib: Number(kib?.[1] ?? kib?.[2] ?? DEFAULT_BUFFER_KIB),
    events: new Set([...events].map(([, name]) => name!)),
  };
  if (path !== '') view.path = path;
  const refused = whyNot(path, has, root, lockdown);
  if (refused !== undefined) view.refused = refused;
  return view;
}

function whyNot(
  path: string,
  has: (state: string) => boolean,
  root: boolean,
  lockdown: string | undefined,
): string | undefined {
  if (path === '') {
    return root
      ? 'tracefs is not mounted: mount -t tracefs nodev /sys/kernel/tracing'
      : 'tracefs is not mounted, or not visible without root';
  }
  // At confidentiality even root reads no tracefs (security/security.c, LOCKDOWN_TRACEFS).
  if (lockdown === 'confidentiality') {
    return 'the kernel is locked down (confidentiality), which forbids tracing: boot without lockdown=confidentiality';
  }
  if (!root && !has('instances writable')) return `${path} is open to root only`;
  if (!has('instances exists'))
    return `${path} has no instances folder: the kernel was built without what it needs`;
  if (!has('instances writable')) return `${path}/instances cannot be written: mounted read-only?`;
  if (!has('kprobe_events exists')) return 'this kernel has no kprobe events (CONFIG_KPROBE_EVENTS)';
  return undefined;
}

/** 'none [integrity] confidentiality' -> 'integrity'. */
export function parseLockdown(text: string | undefined): string | undefined {
  return /\[(\w+)\]/.exec(text ?? '')?.[1];
}

/** '0-2,5' -> 0 1 2 5. */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = [];
  for (const part of text.trim().split(',')) {
    const [, first, last] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part) ?? [];
    if (first === undefined) continue;
    for (let cpu = Number(first); cpu <= Number(last ?? first); cpu++) cpus.push(cpu);
  }
  return cpus;
}

/**
 * What is known of a live host before anything is switched on: found by collector/host/discover.ts, read by the
 * hooks that are planned from it. Plain data. Everything optional is absent where the host does not tell.
 */
export interface HostView {
  domain: DomainView;
  kernel: {
    /** `uname -r`, `uname -m`. */
    release: string;
    machine: string;
    /** Online CPUs of Dom0 (= Dom0's vCPUs). */
    cpus: number[];
    /** Bytes of a page of memory. */
    pageBytes: number;
  };
  xen: {
    version?: string;
    /** Arm generic timer, Hz: what Xen's records count. */
    counterHz?: number;
    /** Physical CPUs. */
    cpus?: number;
    /** `xl info` and the boot messages, as they came: kept beside the raw data. */
    info?: string;
    dmesg?: string;
  };
  tracefs: TracefsView;
  /** By symbol name: functions of the kernel that hooks want. */
  symbols: ReadonlyMap<string, SymbolView>;
  xentrace: XentraceView;
  deviceModels: DeviceModelView[];
  devices: DeviceView[];
  /** Local event-channel ports of Dom0 bound to the domain (lsevtchn), if that tool is there. */
  ports?: number[];
  /** Texts kept beside the raw data, by file name ('xenstore.txt', 'xl-list.json' ...). */
  texts: ReadonlyMap<string, string>;
  /** What could not be found out and why, one line each. */
  notes: string[];
}

export interface DomainView {
  domid: number;
  name: string;
  vcpus: number;
}

export interface TracefsView {
  /** Where it is mounted; undefined: not mounted, or not readable. */
  path?: string;
  /** Instances can be made (the instances folder is writable). */
  instances: boolean;
  /** kprobe_events is there and writable. */
  kprobes: boolean;
  /** Names that trace_clock offers. */
  clocks: string[];
  /** Bytes of a ring-buffer page (events/header_page). */
  pageBytes: number;
  /** KiB of each CPU's buffer of a new instance, as the kernel would make it. */
  bufferKib: number;
  /** Existing trace events that hooks want, as 'sched/sched_switch'. */
  events: ReadonlySet<string>;
  /** Why it cannot be used, if it cannot: lockdown, permission, not mounted. */
  refused?: string;
}

export interface SymbolView {
  /** The module it lives in; undefined: built in. */
  module?: string;
  /** Names by which kprobes may find it in kallsyms: more than one = ambiguous. */
  count: number;
  /** The kernel sets no kprobe event on it: blacklisted, or not traceable. */
  refused?: boolean;
  /** Why it is refused. */
  why?: string;
  /** Its full name where the compiler gave it a suffix ('privcmd_ioctl_dm_op.isra.0'): what a probe must name. */
  symbol?: string;
}

export interface XentraceView {
  /** Full path of the program; undefined: not installed. */
  path?: string;
  /** Process ids of those that run already: Xen's trace buffers are one for the whole host. */
  running: number[];
  /** Pages of each physical CPU's buffer, if the host was traced since it booted and tells; fixed until reboot. */
  bufferPages?: number;
  /** Why it cannot be used. */
  refused?: string;
}

export interface DeviceModelView {
  pid: number;
  /** Field 22 of /proc/PID/stat, in clock ticks since boot: with the pid it names the process for ever. */
  startTime: string;
  /** /proc/PID/comm. */
  name: string;
  kind: 'qemu' | 'virtio-disk' | 'vhost-user' | 'other';
  commandLine: string;
  /** Thread ids, the process itself first, with their names. */
  threads: { tid: number; name: string }[];
  /** Virtual address (hex with 0x) of its mapping of the ioreq page: 4 KiB rw-s of /dev/xen/privcmd. None or one. */
  ioreqPages: string[];
  /** How many of its mappings look like that. */
  mappedPages?: number;
  /** How it is known to serve the domain: 'command line', 'xenstore', 'event channels', 'assumed'. */
  by: string;
  /** irq numbers of its event channels (/proc/interrupts, action evtchn:NAME). */
  irqs: number[];
  /** Unix socket of its QMP monitor, if it is a QEMU that has one. */
  qmpSocket?: string;
  /** Regular file that its trace events go to (log backend: -D FILE, -trace file=, or stderr). */
  traceLog?: string;
  /** /proc/PID/maps. */
  maps: string;
}

export interface DeviceView {
  kind: string;
  base: number;
  spi: number;
  /** xenstore path of the backend. */
  backend: string;
}

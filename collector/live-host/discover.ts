import { TraceError } from '../../trace/errors.ts';
import type { HostView } from '../probes/host-view.ts';
import type { HostTransport } from '../transports/transport.ts';
import type { Process } from './device-models.ts';
import { deviceModelsOf, parseProcesses } from './device-models.ts';
import type { DomainEntry } from './domains.ts';
import { parseDomains, pickDomain } from './domains.ts';
import { parseCpuList, parseLockdown, parseSymbols, parseTracefs } from './kernel-facts.ts';
import { FIND_TOOLS, FIND_TRACEFS, HOST_SCRIPT } from './script.ts';
import type { Sections } from './sections.ts';
import { readSections } from './sections.ts';
import { parseXen, parseXentrace, portsOf, xsmMode } from './xen-facts.ts';
import { mergeDevices, qemuDevices } from './qemu-devices.ts';
import type { Store } from './xenstore.ts';
import { parseStore, virtioDevices } from './xenstore.ts';

/** A live host before a domain of it is chosen. Plain data. */
export interface HostSurvey extends Pick<
  HostView,
  'kernel' | 'xen' | 'tracefs' | 'symbols' | 'xentrace' | 'texts' | 'notes'
> {
  /** The user on the host is root. */
  root: boolean;
  /** The kernel's lockdown mode, if it has one: 'none', 'integrity', 'confidentiality'. */
  lockdown?: string;
  /** Xen's security module, in its own words. */
  xsm?: string;
  /** By name; 'y' or 'm'; those that are off are 'n'. Empty if the host does not tell. */
  kernelConfig: ReadonlyMap<string, string>;
  domains: DomainEntry[];
  processes: Process[];
  store: Store;
  interrupts: string;
  lsevtchn?: string;
}

/**
 * Looks at the host, reading only, and finds all that recording the domain needs.
 *
 * @throws (rejects) TraceError E_HOST if it cannot be looked at or is no Dom0, E_NO_DOMAIN if there is no such domain
 */
export async function discover(host: HostTransport, options: { domain: string }): Promise<HostView> {
  return viewOf(await surveyHost(host), options.domain);
}

/**
 * Only where tracefs is mounted, and xentrace if it is installed.
 *
 * @throws (rejects) TraceError E_HOST if tracefs is not mounted
 */
export async function findTracefs(host: HostTransport): Promise<{ tracefs: string; xentrace?: string }> {
  const { stdout } = await host.run(
    `${FIND_TOOLS}\n${FIND_TRACEFS}\nprintf '%s\\n' "$T"; command -v xentrace; true`,
  );
  const [tracefs = '', xentrace = ''] = stdout.split('\n');
  if (tracefs === '') {
    throw new TraceError(
      'E_HOST',
      `${host.name} has no tracefs mounted: mount -t tracefs nodev /sys/kernel/tracing`,
    );
  }
  return { tracefs, ...(xentrace === '' ? {} : { xentrace }) };
}

/** @throws (rejects) TraceError E_HOST */
export async function surveyHost(host: HostTransport): Promise<HostSurvey> {
  const survey = parseSurvey(await readSections(host, HOST_SCRIPT));
  if (survey.xen.version === undefined && survey.domains.length === 0) throw noDom0(host.name, survey.root);
  return survey;
}

function noDom0(name: string, root: boolean): TraceError {
  return new TraceError(
    'E_HOST',
    root
      ? `${name} is no Dom0 that can be recorded: Xen does not answer (xl info, xenstore, /sys/hypervisor)`
      : `${name} tells nothing of Xen without root: run as root, or it is no Dom0`,
  );
}

export function parseSurvey(sections: Sections): HostSurvey {
  const [release = '', machine = ''] = (sections.get('uname') ?? '').split('\n');
  const page = /^(\d+)( KiB)?$/.exec(sections.get('page') ?? '');
  const root = sections.get('uid') === '0';
  const lockdown = parseLockdown(sections.get('lockdown'));
  const store = parseStore(sections.get('xenstore') ?? '');
  const xen = parseXen(sections);
  const cpus = parseCpuList(sections.get('online') ?? '');
  const list = sections.get('xl-list');
  const xsm = xsmMode(xen.dmesg);
  const lsevtchn = sections.get('lsevtchn');
  return {
    root,
    ...(lockdown === undefined ? {} : { lockdown }),
    ...(xsm === undefined ? {} : { xsm }),
    kernelConfig: parseConfig(sections.get('config') ?? ''),
    kernel: {
      release,
      machine,
      cpus: cpus.length > 0 ? cpus : [0],
      pageBytes: page === null ? 4096 : Number(page[1]) * (page[2] === undefined ? 1 : 1024),
    },
    xen,
    tracefs: parseTracefs(sections, root, lockdown),
    symbols: parseSymbols(sections.get('kallsyms') ?? '', sections.get('blacklist') ?? ''),
    xentrace: parseXentrace(sections),
    domains: parseDomains(
      list !== undefined && /^Name\s+ID/m.test(list) ? list : undefined,
      sections.get('xl-list.json'),
      store,
    ),
    processes: parseProcesses(sections),
    store,
    interrupts: sections.get('interrupts') ?? '',
    ...(lsevtchn === undefined || lsevtchn === '' ? {} : { lsevtchn }),
    texts: keptTexts(sections),
    notes: notesOf(sections, root, store),
  };
}

/** @throws TraceError E_NO_DOMAIN */
export function viewOf(survey: HostSurvey, wanted: string): HostView {
  const { kernel, xen, tracefs, symbols, xentrace, store } = survey;
  const { domid, name, vcpus } = pickDomain(survey.domains, wanted);
  const notes = [...survey.notes];
  const deviceModels = deviceModelsOf(
    { domid, name },
    survey.processes,
    store,
    survey.interrupts,
    kernel.pageBytes,
  );
  const stub = store.get(`/local/domain/${domid}/image/device-model-domid`);
  if (stub !== undefined && stub !== '0') {
    notes.push(`a device model of the domain runs in domain ${stub}, where it cannot be followed`);
  }
  for (const { pid, by } of deviceModels.filter((model) => model.by === 'assumed')) {
    notes.push(`process ${pid} is ${by} to serve the domain: it has an ioreq page and does not say whose`);
  }
  for (const { pid } of deviceModels.filter(({ ioreqPages }) => ioreqPages.length === 0)) {
    notes.push(`process ${pid} serves the domain and maps no ioreq page: is it still starting?`);
  }
  for (const { pid, mappedPages = 0 } of deviceModels) {
    if (mappedPages > 1)
      notes.push(
        `process ${pid} maps ${mappedPages} pages that may be its ioreq page; the first mapped is taken`,
      );
  }
  const sharing = new Map<string, number>();
  for (const process of survey.processes) sharing.set(process.name, (sharing.get(process.name) ?? 0) + 1);
  for (const { name: comm, pid } of deviceModels.filter((model) => (sharing.get(model.name) ?? 0) > 1)) {
    notes.push(`the interrupts named evtchn:${comm} are of several processes, of which ${pid} is one`);
  }
  if (vcpus === 0) notes.push('the number of vCPUs is not known; one is assumed');
  const devices = mergeDevices(virtioDevices(store, domid), qemuDevices(deviceModels));
  if (devices.length === 0 && store.size > 0)
    notes.push('xenstore lists no virtio-mmio device of the domain');
  const ports = portsOf(survey.lsevtchn, domid);
  return {
    domain: { domid, name, vcpus: Math.max(1, vcpus) },
    kernel,
    xen,
    tracefs,
    symbols,
    xentrace,
    deviceModels,
    devices,
    ...(ports === undefined ? {} : { ports }),
    texts: survey.texts,
    notes,
  };
}

function parseConfig(text: string): Map<string, string> {
  const config = new Map<string, string>();
  for (const [, name, value] of text.matchAll(/^CONFIG_(\w+)=(\w+)$/gm)) config.set(name!, value!);
  for (const [, name] of text.matchAll(/^# CONFIG_(\w+) is not set$/gm)) config.set(name!, 'n');
  return config;
}

/** Section -> name under which a capture's file of that kind is known. */
const KEPT: Readonly<Record<string, string>> = {
  'xl-info': 'xl-info.txt',
  'xl-list.json': 'xl-list.json',
  'xl-dmesg': 'xl-dmesg.txt',
  xenstore: 'xenstore.txt',
  interrupts: 'interrupts-before.txt',
  lsevtchn: 'lsevtchn.txt',
};

function keptTexts(sections: Sections): Map<string, string> {
  const texts = new Map<string, string>();
  for (const [section, file] of Object.entries(KEPT)) {
    const text = sections.get(section);
    if (text !== undefined && text !== '') texts.set(file, `${text}\n`);
  }
  return texts;
}

/** What could not be found out and why. */
function notesOf(sections: Sections, root: boolean, store: Store): string[] {
  const notes: string[] = [];
  const has = (name: string): boolean => (sections.get(name) ?? '') !== '';
  if (!root) notes.push('not root on the host: other processes, tracefs and Xen are mostly closed');
  if (!sections.has('xl'))
    notes.push('no xl: domains, versions and Xen messages come from xenstore and the kernel only');
  else if (!has('xl-info') || !/^xen_caps/m.test(sections.get('xl-info')!)) {
    const said = (sections.get('xl-info') ?? '').split('\n').find((line) => line.trim() !== '');
    notes.push(`xl info fails${said === undefined ? '' : `: ${said.slice(0, 200)}`}`);
  }
  if (!sections.has('xenstore'))
    notes.push('no xenstore-ls: devices (base, SPI, kind) are not known beforehand');
  else if (store.size === 0) notes.push('xenstore does not answer: devices are not known beforehand');
  if (!sections.has('lsevtchn')) notes.push('no lsevtchn: event-channel ports are not known beforehand');
  if (!sections.has('blacklist'))
    notes.push('no debugfs: which functions refuse kprobes is known only when one is set');
  if (!has('kallsyms'))
    notes.push('/proc/kallsyms cannot be read: which functions the kernel has is not known');
  return notes;
}

import type { HostView, XentraceView } from '../probes/host-view.ts';
import type { Sections } from './sections.ts';

export function parseXen(sections: Sections): HostView['xen'] {
  const info = sections.get('xl-info') ?? '';
  const dmesg = sections.get('xl-dmesg') ?? '';
  const value = (key: string): string | undefined =>
    new RegExp(`^${key}[ \\t]*:[ \\t]*(.*?)[ \\t]*$`, 'm').exec(info)?.[1];
  const kernelSays = (key: string): string =>
    new RegExp(`^version/${key} (.*)$`, 'm').exec(sections.get('hypervisor') ?? '')?.[1] ?? '';
  const fromKernel = `${kernelSays('major')}.${kernelSays('minor')}${kernelSays('extra')}`;
  const version = value('xen_version') ?? (/^\d+\.\d+/.test(fromKernel) ? fromKernel : undefined);
  const cpus = Number(value('nr_cpus'));
  const hz = counterHz(dmesg, value('cpu_mhz'), sections);
  const xen: HostView['xen'] = {};
  if (version !== undefined) xen.version = version;
  if (hz !== undefined) xen.counterHz = hz;
  if (cpus > 0) xen.cpus = cpus;
  if (value('xen_caps') !== undefined) xen.info = `${info}\n`;
  if (dmesg !== '') xen.dmesg = `${dmesg}\n`;
  return xen;
}

/** Of the Arm generic timer, in order of exactness: Xen's boot message (kHz), `xl info`, device tree, Linux's message. */
function counterHz(dmesg: string, cpuMhz: string | undefined, sections: Sections): number | undefined {
  const khz = Number(/Generic Timer IRQ:.*\bFreq: (\d{1,9}) KHz/.exec(dmesg)?.[1]);
  if (khz > 0) return khz * 1000;
  // xen/arch/arm/sysctl.c: on Arm cpu_khz is the timer's.
  const mhz = Number(cpuMhz);
  if (mhz > 0) return Math.round(mhz * 1e6);
  const bytes = (sections.get('timer') ?? '').trim().split(/\s+/);
  const tree = bytes.length === 4 ? Number.parseInt(bytes.join(''), 16) : 0;
  if (tree > 0) return tree;
  const linux = Number(/cp15 timer.*?\brunning at (\d+\.\d+)MHz/.exec(sections.get('arch_timer') ?? '')?.[1]);
  return linux > 0 ? Math.round(linux * 1e6) : undefined;
}

export function parseXentrace(sections: Sections): XentraceView {
  const path = sections.get('xentrace');
  const running = [...(sections.get('running') ?? '').matchAll(/^(\d{1,10}) /gm)].map(([, pid]) =>
    Number(pid),
  );
  const view: XentraceView = { running };
  if (path !== undefined && path !== '') view.path = path;
  // The last request that was granted counts (xen/common/trace.c); the size is of each CPU's buffer.
  const dmesg = sections.get('xl-dmesg') ?? '';
  const asked = [...dmesg.matchAll(/xentrace: requesting \d+ t_info pages for (\d{1,9}) trace pages/g)].at(
    -1,
  );
  if (asked !== undefined && dmesg.slice(asked.index).includes('xentrace: initialised')) {
    view.bufferPages = Number(asked[1]);
  }
  if (/^# CONFIG_TRACEBUFFER is not set/m.test(sections.get('xen-config') ?? '')) {
    view.refused = 'this Xen was built without CONFIG_TRACEBUFFER';
  }
  return view;
}

/** Lines of Xen's boot messages about its security module: 'XSM SILO mode', Flask. */
export function xsmMode(dmesg: string | undefined): string | undefined {
  const lines = (dmesg ?? '').split('\n').filter((line) => /XSM|Flask/i.test(line));
  return lines.length === 0
    ? undefined
    : lines.map((line) => line.replace(/^\(XEN\) (\[.*?\] )?/, '')).join('; ');
}

/**
 * Ports of Dom0 that are connected to a domain. tools/xcutils/lsevtchn.c:
 * `   7: VCPU 1: Interdomain (Connected) - Remote Domain 5, Port 3`.
 */
export function portsOf(lsevtchn: string | undefined, domid: number): number[] | undefined {
  if (lsevtchn === undefined || lsevtchn === '') return undefined;
  const ports: number[] = [];
  for (const [, port, remote] of lsevtchn.matchAll(
    /^\s*(\d{1,7}): .*\(Connected\).*Remote Domain (\d{1,5})\b/gm,
  )) {
    if (Number(remote) === domid) ports.push(Number(port));
  }
  return ports;
}

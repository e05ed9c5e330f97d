import type { Findings, Manifest } from '../trace/manifest.ts';
import { LossWindows } from './passes/loss-windows.ts';
import type { Scouted } from './scout.ts';
import type { TimedStream } from './streams.ts';

/** Raised whenever the scout finds something else in the same events. */
const SCOUT = 1;

/**
 * What the scout's findings depend on, beside the events: the sources with their rows and places on the axis, and
 * what the manifest tells of the domain and its device models. undefined where findings are not kept: records were
 * lost, and where is not among them.
 */
function from(
  { sources, domid, vcpus, deviceModels }: Manifest,
  streams: readonly (TimedStream | undefined)[],
): string | undefined {
  const facts = streams.map((s) => sources.find(({ id }) => id === s?.id));
  if (facts.some((f) => (f?.kinds['xen.lost'] ?? 0) + (f?.kinds['dom0.lost'] ?? 0) > 0)) return undefined;
  const places = streams.map((s, n) => [s?.id, facts[n]?.rows, s?.line.scale, s?.line.shift]);
  const text = JSON.stringify([SCOUT, domid, vcpus, deviceModels.map((m) => [m.pid, m.threads]), places]);
  return text.length > 65_536 ? undefined : text;
}

/** The findings to keep with the trace; undefined if they cannot be. */
export function findingsOf(
  manifest: Manifest,
  xen: TimedStream | undefined,
  dom0: TimedStream | undefined,
  { domid, vcpus, pids, vcpuOfPort, portsBy, answers }: Scouted,
): Findings | undefined {
  const source = from(manifest, [xen, dom0]);
  if (source === undefined) return undefined;
  const ports = [...vcpuOfPort].map(([port, vcpu]) => ({ port, vcpu }));
  return { from: source, ...(domid !== undefined && { domid }), vcpus, pids, ports, portsBy, answers };
}

/** What the scout would find, where the trace holds it and nothing that it depends on has changed. */
export function keptFindings(
  manifest: Manifest,
  xen: TimedStream | undefined,
  dom0: TimedStream | undefined,
): Scouted | undefined {
  const { findings } = manifest;
  if (findings === undefined || findings.from !== from(manifest, [xen, dom0])) return undefined;
  const { domid, vcpus, pids, ports, portsBy, answers } = findings;
  const vcpuOfPort = new Map(ports.map(({ port, vcpu }) => [port, vcpu]));
  const [xenLosses, dom0Losses] = [new LossWindows(), new LossWindows()];
  return { domid, vcpus, pids, vcpuOfPort, portsBy, answers, xenLosses, dom0Losses };
}

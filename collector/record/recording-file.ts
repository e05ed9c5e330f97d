import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { EndReason, RecordingFile } from '../../trace/recording-facts.ts';
import { MANIFEST_FILE } from '../../trace/manifest.ts';
import { replaceFile } from '../../trace/replace-file.ts';
import type { HostView } from '../probes/host-view.ts';
import type { RecordPlan, Change } from '../probes/plan.ts';

/** In the raw directory. */
export const RECORDING_FILE = 'recording.json';
export const RAW_FOLDER = 'raw';

export function describeRecording(
  view: HostView,
  plan: RecordPlan,
  changes: readonly Change[],
  tool: { name: string; version: string },
): RecordingFile {
  const { domain, kernel, xen } = view;
  return {
    format: 'ioreq-trace-recording',
    tool,
    started: new Date().toISOString(),
    state: 'running',
    recorder: { pid: process.pid, start: startTime(process.pid) ?? '', machine: hostname() },
    ...(plan.only.length === 0 ? {} : { only: plan.only }),
    domid: domain.domid,
    domain: domain.name,
    vcpus: domain.vcpus,
    ...(xen.counterHz === undefined ? {} : { counterHz: xen.counterHz }),
    ...(xen.version === undefined ? {} : { xenVersion: xen.version }),
    linuxVersion: kernel.release,
    machine: kernel.machine,
    hooks: plan.hooks,
    refused: plan.refused,
    devices: view.devices.map(({ kind, base, spi }) => ({ kind, base, spi })),
    deviceModels: view.deviceModels.map(({ pid, name, threads }) => ({ pid, name, threads })),
    changes,
    warnings: [],
  };
}

export function writeRecording(rawDir: string, recording: RecordingFile): void {
  replaceFile(rawDir, RECORDING_FILE, `${JSON.stringify(recording, null, 1)}\n`);
}

/** Start time of a process of this machine (field 22 of /proc/PID/stat); undefined if there is none. */
export function startTime(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** Whether the recorder that wrote this file is at work still, as far as this machine can tell. */
export function isBeingRecorded({ recorder, state }: Pick<RecordingFile, 'recorder' | 'state'>): boolean {
  const { pid, start, machine } = recorder;
  // Recording may be over and the recorder seal the trace itself.
  if (state !== 'running' && pid === process.pid) return false;
  return machine === hostname() && start !== '' && startTime(pid) === start;
}

/** Whether the trace directory `dir` holds a recording that was never sealed. */
export function isUnsealed(dir: string): boolean {
  return existsSync(join(dir, RAW_FOLDER, RECORDING_FILE)) && !existsSync(join(dir, MANIFEST_FILE));
}

/** `facts` of a recording that is over. */
export function ended(facts: RecordingFile, state: EndReason, detail: string | undefined): RecordingFile {
  return { ...facts, state, ...(detail === undefined ? {} : { detail }) };
}

import type { AuxFormat } from './aux-format.ts';
import { processMaps, qemuCommandLine, qmpGreeting, threadList } from './device-model.ts';
import {
  clockSamples,
  console,
  cpuStats,
  eventFormat,
  headerEvent,
  headerPage,
  interrupts,
  kallsyms,
  printkFormats,
  probeDefinitions,
  probeProfile,
  savedCommands,
  setEvents,
  traceClock,
  uname,
} from './kernel.ts';
import { recordingFile } from './recording.ts';
import { timekeeper } from './timekeeper.ts';
import { xenstoreDump, xlConfig, xlDmesg, xlInfo, xlList } from './xen-tools.ts';

/** Auxiliary files in the order in which they are tried: the most specific first. */
export const AUX_FORMATS: readonly AuxFormat[] = [
  recordingFile,
  eventFormat,
  headerPage,
  headerEvent,
  cpuStats,
  traceClock,
  probeDefinitions,
  clockSamples,
  timekeeper,
  xlInfo,
  xlList,
  xenstoreDump,
  xlDmesg,
  qmpGreeting,
  qemuCommandLine,
  processMaps,
  kallsyms,
  printkFormats,
  interrupts,
  uname,
  threadList,
  savedCommands,
  setEvents,
  probeProfile,
  xlConfig,
  console,
];

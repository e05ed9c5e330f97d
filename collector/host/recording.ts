import { RECORDING_FORMAT, parseRecordingFile } from '../../trace/recording-facts.ts';
import type { AuxFormat } from './aux-format.ts';

/** recording.json of `trace record`: what the recorder found out and how the recording ended. */
export const recordingFile: AuxFormat = {
  name: 'recording',
  sniff: (head) => /^\s*\{\s*"format"\s*:\s*"([\w-]+)"/.exec(head)?.[1] === RECORDING_FORMAT,
  read(text, into, file) {
    const recording = parseRecordingFile(text, file);
    into.recording = recording;
    into.commandDomids.unshift(recording.domid);
    into.vcpus.set(recording.domid, recording.vcpus);
    if (recording.counterHz !== undefined) into.counterHz.dmesg = recording.counterHz;
    into.xenVersion = recording.xenVersion ?? into.xenVersion;
    into.linuxVersion = recording.linuxVersion;
    into.machine = recording.machine;
    for (const { kind, base, spi } of recording.devices) {
      if (base > 0) into.devices.unshift({ domid: recording.domid, kind, base, spi });
    }
    for (const { name, threads } of recording.deviceModels) {
      into.threadLists.push({ threads: threads.map(({ tid }) => tid), name });
      for (const thread of threads) into.tasks.set(thread.tid, thread.name);
    }
    into.warnings.push(...recording.warnings);
  },
};

import type { RawFiles } from './raw-files.ts';
import type { RecordSink } from './sink.ts';

/** What else wants to see the bytes as they come: the live line, a trigger. */
export interface Tap {
  pages(cpu: number, bytes: Uint8Array): void;
  xen(bytes: Uint8Array): void;
  round(number: number, uptime: number): void;
  text(name: string, text: string): void;
}

/** Names of the raw files: what `trace import` and its users are used to. */
export const XEN_FILE = 'xentrace.bin';
export const LOG_FILE = 'qemu-trace.log';
export function cpuFile(cpu: number): string {
  return `cpu${cpu}.raw`;
}

/** Everything straight to files. */
export class FileSink implements RecordSink {
  readonly warnings: string[] = [];
  private readonly files: RawFiles;
  private readonly taps: readonly Tap[];

  constructor(files: RawFiles, taps: readonly Tap[] = []) {
    this.files = files;
    this.taps = taps;
  }

  pages(cpu: number, bytes: Uint8Array): void {
    this.files.append(cpuFile(cpu), bytes);
    for (const tap of this.taps) tap.pages(cpu, bytes);
  }

  xen(bytes: Uint8Array): void {
    this.files.append(XEN_FILE, bytes);
    for (const tap of this.taps) tap.xen(bytes);
  }

  log(bytes: Uint8Array): void {
    this.files.append(LOG_FILE, bytes);
  }

  text(name: string, text: string): void {
    this.files.text(name, text);
    for (const tap of this.taps) tap.text(name, text);
  }

  round(number: number, uptime: number): void {
    for (const tap of this.taps) tap.round(number, uptime);
  }

  warning(text: string): void {
    this.warnings.push(text);
  }

  get rawBytes(): number {
    return this.files.totalBytes;
  }

  get nearlyFull(): boolean {
    return this.files.nearlyFull;
  }
}

import { accessJsonlFormat } from './access-jsonl.ts';
import { ftracePagesFormat } from './ftrace-pages.ts';
import { ftraceTextFormat } from './ftrace-text.ts';
import { qemuLogFormat } from './qemu-log.ts';
import { simpletraceFormat } from './simpletrace.ts';
import type { RawFormat } from './source.ts';
import { traceDatFormat } from './trace-dat.ts';
import { xentraceFormat } from './xentrace.ts';

/**
 * Every raw format, in the order in which they are tried: formats with a magic number first, then binary ones
 * that are judged by their structure, then text from the strictest form to the loosest.
 */
export const RAW_FORMATS: readonly RawFormat[] = [
  traceDatFormat,
  simpletraceFormat,
  xentraceFormat,
  ftracePagesFormat,
  accessJsonlFormat,
  ftraceTextFormat,
  qemuLogFormat,
];

/**
 * Formats that take lines of many forms for theirs: tried only on files that are no known file about the host.
 */
export const LOOSE_FORMATS: ReadonlySet<RawFormat> = new Set([qemuLogFormat]);

import { randomBytes } from 'node:crypto';
import { TraceError } from '../../trace/errors.ts';
import type { HostTransport } from '../transports/transport.ts';

/** Output of the script by section. Text as it came; one line break at the end is not part of it. */
export type Sections = ReadonlyMap<string, string>;

/** Bytes of a host's answer that are read: kallsyms, a megabyte of boot messages, some processes' mappings. */
const MOST_BYTES = 64 * 1024 * 1024;
/** An emulated or busy board takes its time. */
const TIMEOUT_MS = 120_000;

/**
 * Runs a script that prints sections (`@@MARKER name` lines, the last one named `end`), the marker being the first
 * line of its stdin.
 *
 * @throws (rejects) TraceError E_HOST
 */
export async function readSections(host: HostTransport, script: string): Promise<Sections> {
  const marker = randomBytes(16).toString('hex');
  const options = { input: `${marker}\n`, timeoutMs: TIMEOUT_MS, maxBytes: MOST_BYTES };
  const { stdout, stderr, code } = await host.run(script, options);
  const sections = parseSections(stdout, marker);
  if (sections.has('end')) return sections;
  const why =
    code === null
      ? `it did not answer within ${TIMEOUT_MS / 1000} s`
      : (stderr.trim().split('\n').at(-1) ?? '') || `its shell ended with ${code}`;
  throw new TraceError('E_HOST', `${host.name} cannot be looked at: ${why}`);
}

export function parseSections(text: string, marker: string): Sections {
  const sections = new Map<string, string>();
  const [, ...parts] = `\n${text}`.split(`\n@@${marker} `);
  for (const part of parts) {
    const end = part.indexOf('\n');
    const name = end < 0 ? part : part.slice(0, end);
    // The script puts a line break before each mark: the content has its own last one still.
    const body = end < 0 ? '' : part.slice(end + 1);
    if (!sections.has(name)) sections.set(name, body.endsWith('\n') ? body.slice(0, -1) : body);
  }
  return sections;
}

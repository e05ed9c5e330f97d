/** A kprobe or uprobe as its definition line states it. */
export interface ProbeDefinition {
  readonly kind: 'kprobe' | 'uprobe';
  /** Fires on return, not on entry. */
  readonly isReturn: boolean;
  /** Event group, '' if the line names none. */
  readonly system: string;
  readonly event: string;
  /** kprobe: the symbol without module and offset. uprobe: '' (a file offset says nothing of a name). */
  readonly symbol: string;
  /** Bytes behind the symbol, or file offset of a uprobe. */
  readonly offset: number;
  /** The probed file of a uprobe, '' for a kprobe. */
  readonly path: string;
  readonly args: readonly { readonly name: string; readonly expression: string }[];
}

export type ProbeDefinitions = readonly ProbeDefinition[];

const HEAD = /^([pr])(\d*)(?::(?:([\w-]+)\/)?([\w-]+))?\s+(\S+)(?:\s+(.*))?$/;
const UPROBE_PLACE = /^(\/.*):0x([0-9a-fA-F]+)(?:\(0x[0-9a-fA-F]+\))?(%return)?$/;
const KPROBE_PLACE = /^(?:[\w-]+:)?([A-Za-z_.][\w.$]*)(?:\+(0x[0-9a-fA-F]+|\d+))?(%return)?$/;

/**
 * Parses the text of tracefs `kprobe_events` or `uprobe_events` (Linux Documentation/trace/kprobetrace.rst,
 * uprobetracer.rst). Lines that are neither are passed over: without its definition a probe's event is still
 * recognised by its name and fields.
 */
export function parseProbeDefinitions(text: string): ProbeDefinition[] {
  const probes: ProbeDefinition[] = [];
  for (const line of text.split('\n')) {
    const probe = parseLine(line.trim());
    if (probe !== undefined) probes.push(probe);
  }
  return probes;
}

function parseLine(line: string): ProbeDefinition | undefined {
  const head = HEAD.exec(line);
  const event = head?.[4];
  const place = head?.[5];
  // The kernel prints every definition with its event name, so a line without one is not its output.
  if (head === null || event === undefined || place === undefined) return undefined;
  const common = { system: head[3] ?? '', event, args: parseArgs(head[6] ?? '') };
  const uprobe = UPROBE_PLACE.exec(place);
  if (uprobe !== null) {
    const isReturn = head[1] === 'r' || uprobe[3] !== undefined;
    const offset = Number.parseInt(uprobe[2] ?? '0', 16);
    return { ...common, kind: 'uprobe', isReturn, symbol: '', offset, path: uprobe[1] ?? '' };
  }
  const kprobe = KPROBE_PLACE.exec(place);
  if (kprobe === null) return undefined;
  const isReturn = head[1] === 'r' || kprobe[3] !== undefined;
  const offset = Number(kprobe[2] ?? '0');
  return { ...common, kind: 'kprobe', isReturn, symbol: kprobe[1] ?? '', offset, path: '' };
}

function parseArgs(text: string): { name: string; expression: string }[] {
  const args: { name: string; expression: string }[] = [];
  for (const part of text.split(/\s+/)) {
    const equals = part.indexOf('=');
    if (equals > 0) args.push({ name: part.slice(0, equals), expression: part.slice(equals + 1) });
  }
  return args;
}

import type { EventBatch } from '../../../trace/columns.ts';
import type { StringTable } from '../../../trace/strings.ts';
import { bindEvent, sourceRoles, type EventBinding, type SourceRoles } from './binding.ts';
import type { EventField, EventFormat } from './event-format.ts';
import type { ProbeDefinition, ProbeDefinitions } from './probes.ts';
import type { RecordBytes, RecordDecoder } from './record-decoder.ts';
import { isInteger, putInteger } from './text-number.ts';

/** "(evtchn_read+0x0/0x310 [xen_evtchn])", "(caller+0x.. <- evtchn_read)", "(0xffff8000)". */
const PLACE = /^\(([^()]*)\)\s*(.*)$/;
const SYMBOL =
  /^(?!(?:0x)?[0-9a-f]{6,16}$)([A-Za-z_.][\w.$]*)(?:\+0x([0-9a-f]+)\/0x[0-9a-f]+)?(?: \[[\w-]+\])?$/;

/** Kinds of line (name and fields) that are told apart; hostile text could make any number. */
const MAX_SHAPES = 4096;

interface Shape extends RecordBytes {
  readonly binding: EventBinding;
  readonly keys: readonly string[];
  readonly numeric: readonly boolean[];
  readonly words: Uint32Array;
}

/**
 * Probe events from text, through the same binding as binary records: the fields of a line are written into
 * a record that is laid out as one 64-bit word a field behind the common header, and that record is decoded.
 */
export class TextProbes {
  private readonly probes: ProbeDefinitions;
  private readonly strings: StringTable;
  private readonly decoder: RecordDecoder;
  private readonly shapes = new Map<string, Shape>();
  private roles: SourceRoles = { has: new Set() };

  constructor(probes: ProbeDefinitions, strings: StringTable, decoder: RecordDecoder) {
    this.probes = probes;
    this.strings = strings;
    this.decoder = decoder;
  }

  /** Learns which probes the source has, from the first lines of each; before the first `append`. */
  learn(events: Iterable<readonly [name: string, body: string]>): void {
    const has = new Set<SourceRoles['has'] extends ReadonlySet<infer R> ? R : never>();
    for (const [name, body] of events) {
      const { format, definition } = describe(name, body);
      for (const role of sourceRoles([format], this.definitions(definition)).has) has.add(role);
    }
    this.roles = { has };
  }

  /** False, and no row, if the text does not hold the event's fields as numbers. */
  append(name: string, body: string, out: EventBatch, ts: number, cpu: number, pid: number): boolean {
    const shape = this.shape(name, body);
    const values = pairsOf(PLACE.exec(body)?.[2] ?? body);
    for (let i = 0; i < shape.keys.length; i++) {
      // What was text when the shape was learnt is no field of the record.
      if (shape.numeric[i] === false) continue;
      if (!putInteger(shape.words, HEADER_WORDS + 2 * i, values[i]?.[1] ?? '')) return false;
    }
    shape.words[1] = pid;
    return this.decoder.decode(shape.binding, shape, 0, shape.bytes.length, ts, cpu, out);
  }

  private shape(name: string, body: string): Shape {
    const values = pairsOf(PLACE.exec(body)?.[2] ?? body);
    const key = `${name} ${values.map(([k]) => k).join(' ')}`;
    const known = this.shapes.get(key);
    if (known !== undefined) return known;
    if (this.shapes.size >= MAX_SHAPES) this.shapes.clear();
    const { format, definition } = describe(name, body);
    const binding = bindEvent(format, this.definitions(definition), this.roles, this.strings);
    const bytes = Buffer.alloc(4 * (HEADER_WORDS + 2 * values.length));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const keys = values.map(([k]) => k);
    const numeric = values.map(([, value]) => isInteger(value));
    const latin1 = (): string => bytes.toString('latin1');
    const shape = { binding, keys, numeric, bytes, view, words, textStart: 0, latin1 };
    this.shapes.set(key, shape);
    return shape;
  }

  /** What the line itself says of its probe counts before definitions that may be of another time. */
  private definitions(definition: ProbeDefinition | undefined): ProbeDefinitions {
    return definition === undefined ? this.probes : [definition, ...this.probes];
  }
}

/** common_type, flags and preempt count in the first word, common_pid in the second. */
const HEADER_WORDS = 2;

/** An EventFormat and, if the line names the probed symbol, a definition made from one line. */
function describe(name: string, body: string): { format: EventFormat; definition?: ProbeDefinition } {
  const place = PLACE.exec(body);
  const fields: EventField[] = [field('common_type', 0, 2, false), field('common_pid', 4, 4, true)];
  const values = pairsOf(place?.[2] ?? body);
  values.forEach(([key, value], i) => {
    if (isInteger(value)) fields.push(field(key, 4 * (HEADER_WORDS + 2 * i), 8, false));
  });
  const format: EventFormat = { system: '', name, id: 0, fields, printFmt: '' };
  if (place === null) return { format };
  const [left, right] = (place[1] ?? '').split(' <- ');
  const isReturn = right !== undefined;
  fields.push(field(isReturn ? '__probe_func' : '__probe_ip', 0, 8, false));
  const symbol = SYMBOL.exec(right ?? left ?? '');
  // A uprobe's place is a bare address, and so is every place in trace-cmd report.
  if (symbol === null) return { format };
  const offset = isReturn ? 0 : Number.parseInt(symbol[2] ?? '0', 16);
  const common = { system: '', event: name, path: '', args: [] };
  return { format, definition: { ...common, kind: 'kprobe', isReturn, symbol: symbol[1] ?? '', offset } };
}

function field(name: string, offset: number, size: number, signed: boolean): EventField {
  const common = name.startsWith('common_');
  return { name, ctype: '', dims: '', offset, size, signed, common, dataLoc: false, relLoc: false };
}

/** "a=1 b=0x2" as pairs, in order; words without '=' are passed over. */
function pairsOf(text: string): (readonly [key: string, value: string])[] {
  const pairs: (readonly [string, string])[] = [];
  for (const word of text.split(' ')) {
    const equals = word.indexOf('=');
    if (equals > 0) pairs.push([word.slice(0, equals), word.slice(equals + 1)]);
  }
  return pairs;
}

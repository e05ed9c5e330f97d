import { TraceError } from './errors.ts';

/**
 * A value of untrusted JSON together with its path ($.sources[2].rows). Every step down and every reading
 * checks the type; a mismatch is E_TRACE_DAMAGED with the path, what was expected and what was found.
 */
export class JsonValue {
  readonly value: unknown;
  readonly path: string;
  private readonly file: string;

  constructor(value: unknown, path: string, file: string) {
    this.value = value;
    this.path = path;
    this.file = file;
  }

  fail(expected: string): never {
    throw new TraceError('E_TRACE_DAMAGED', `${this.path} is not as the format says`, {
      source: this.file,
      expected,
      got: brief(this.value),
    });
  }

  object(): ReadonlyMap<string, JsonValue> {
    const { value } = this;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) this.fail('an object');
    const entries = Object.entries(value as Record<string, unknown>);
    return new Map(
      entries.map(([key, item]) => [key, new JsonValue(item, `${this.path}.${key}`, this.file)]),
    );
  }

  /** A member that must be there. */
  get(key: string): JsonValue {
    const { value } = this;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) this.fail('an object');
    const item = Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
    return new JsonValue(item, `${this.path}.${key}`, this.file);
  }

  /** Reads a member that may be missing. */
  maybe<T>(key: string, read: (item: JsonValue) => T): T | undefined {
    const item = this.get(key);
    return item.value === undefined ? undefined : read(item);
  }

  list<T>(read: (item: JsonValue) => T, most = 1_000_000): T[] {
    const { value } = this;
    if (!Array.isArray(value)) this.fail('a list');
    if (value.length > most) this.fail(`at most ${most} entries`);
    return value.map((item, i) => read(new JsonValue(item, `${this.path}[${i}]`, this.file)));
  }

  /** An object used as a table from text to T. Own keys only, on a null prototype. */
  table<T>(read: (item: JsonValue) => T): Record<string, T> {
    const table = Object.create(null) as Record<string, T>;
    for (const [key, item] of this.object()) table[key] = read(item);
    return table;
  }

  text(most = 1 << 20): string {
    if (typeof this.value !== 'string') this.fail('a text');
    if (this.value.length > most) this.fail(`a text of at most ${most} characters`);
    return this.value;
  }

  oneOf<T extends string>(choices: readonly T[]): T {
    const found = choices.find((choice) => choice === this.value);
    return found ?? this.fail(choices.map((choice) => `'${choice}'`).join(' or '));
  }

  flag(): boolean {
    return typeof this.value === 'boolean' ? this.value : this.fail('true or false');
  }

  /** A finite number within the bounds. */
  number(least = -Number.MAX_VALUE, most = Number.MAX_VALUE): number {
    const { value } = this;
    if (typeof value !== 'number' || !(value >= least && value <= most))
      this.fail(`a number${range(least, most)}`);
    return value;
  }

  integer(least = 0, most = Number.MAX_SAFE_INTEGER): number {
    const value = this.value;
    if (!Number.isSafeInteger(value)) this.fail(`an integer from ${least} to ${most}`);
    return this.number(least, most);
  }

  /** A 64-bit value as a decimal text. */
  decimal(): string {
    const text = this.text(32);
    return /^-?[0-9]{1,20}$/.test(text) ? text : this.fail('a decimal number as text');
  }
}

function range(least: number, most: number): string {
  const from = least === -Number.MAX_VALUE ? '' : ` from ${least}`;
  return most === Number.MAX_VALUE ? from : `${from} to ${most}`;
}

/** What was found, short enough for one line. */
function brief(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** One statement for the server: its text holds only names of ours, every value goes as a query parameter. */
export interface Statement {
  readonly sql: string;
  /** query_params of @clickhouse/client. */
  readonly params: Readonly<Record<string, unknown>>;
}

/** Text that stands at the head of every refusal (throwIf) of these statements: how a client knows one. */
export const REFUSAL = 'not done on the server: ';

/**
 * Collects the parameters of a statement and gives the text that stands for each. Doubles travel as their bits: a
 * server's fast parser of decimal fractions may be off by one unit in the last place.
 */
export class Params {
  readonly values: Record<string, unknown> = {};
  private readonly sharing: boolean;
  /** By name, each behind those that it reads. */
  private readonly tables = new Map<string, string>();

  /** `sharing`: the server can keep a table for the time of a statement (`WITH ... AS MATERIALIZED`). */
  constructor(sharing = false) {
    this.sharing = sharing;
  }

  /** A table that several parts of a statement read: the text to read it by. It is made once where the server can. */
  shared(name: string, sql: string): string {
    if (!this.sharing) return sql;
    const before = this.tables.get(name);
    if (before !== undefined && before !== sql) throw new Error(`two tables ${name} in one statement`);
    this.tables.set(name, sql);
    return `SELECT * FROM ${name}`;
  }

  /** What stands before a statement that reads the shared tables. */
  get head(): string {
    const tables = [...this.tables].map(([name, sql]) => `${name} AS MATERIALIZED (${sql})`);
    return tables.length === 0 ? '' : `WITH ${tables.join(',\n')}\n`;
  }

  uint(name: string, value: number): string {
    return this.set(name, 'UInt64', value);
  }

  text(name: string, value: string): string {
    return this.set(name, 'String', value);
  }

  uints(name: string, values: readonly number[]): string {
    return this.set(name, 'Array(UInt64)', values);
  }

  /** 64-bit numbers, as decimal text. */
  wides(name: string, values: readonly string[]): string {
    return this.set(name, 'Array(UInt64)', values.map(BigInt));
  }

  ints(name: string, values: readonly number[]): string {
    return this.set(name, 'Array(Int32)', values);
  }

  double(name: string, value: number): string {
    return `reinterpretAsFloat64(${this.set(name, 'UInt64', bits(value))})`;
  }

  doubles(name: string, values: readonly number[]): string {
    return `arrayMap(b -> reinterpretAsFloat64(b), ${this.set(name, 'Array(UInt64)', values.map(bits))})`;
  }

  /** A table, as `table` or `database.table`. */
  table(name: string, table: string): string {
    const [first, second] = table.split('.', 2) as [string, string | undefined];
    if (second === undefined) return this.set(name, 'Identifier', first);
    return `${this.set(`${name}_database`, 'Identifier', first)}.${this.set(name, 'Identifier', second)}`;
  }

  private set(name: string, type: string, value: unknown): string {
    this.values[name] = value;
    return `{${name}:${type}}`;
  }
}

/** A condition that is true of every row, or ends the statement: `what` must hold no quote. */
export function refuseIf(condition: string, what: string): string {
  // NULL (not known) is no reason, and must not drop the row either.
  return `throwIf(ifNull(${condition}, 0), '${REFUSAL}${what}') = 0`;
}

const scratch = new DataView(new ArrayBuffer(8));

function bits(value: number): bigint {
  scratch.setFloat64(0, value);
  return scratch.getBigUint64(0);
}

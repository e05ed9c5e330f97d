/**
 * Every failure that a user can meet has a stable code. Codes are part of the interface: scripts match
 * on them, texts may be reworded. docs/ERRORS.md lists them with the exit code each one leads to.
 */
export const ERROR_CODES = {
  E_USAGE: { exit: 2, meaning: 'the command line is wrong' },
  E_NOT_FOUND: { exit: 4, meaning: 'a named file or directory does not exist' },
  E_UNREADABLE: { exit: 4, meaning: 'a file cannot be opened or read' },
  E_EXISTS: { exit: 4, meaning: 'the output exists already and is not a trace that may be replaced' },
  E_WRITE: { exit: 4, meaning: 'the output cannot be written (disk full, permission)' },
  E_EMPTY: { exit: 3, meaning: 'the input holds no bytes' },
  E_FOREIGN: { exit: 3, meaning: 'the input is of no format that is known' },
  E_TRUNCATED: { exit: 3, meaning: 'the input ends inside a record' },
  E_BAD_RECORD: { exit: 3, meaning: 'a record contradicts its format' },
  E_UNSUPPORTED: { exit: 3, meaning: 'the input is well formed but of a kind that cannot be used' },
  E_NO_FORMATS: { exit: 3, meaning: 'raw ftrace pages without the tracefs event formats that explain them' },
  E_TRACE_VERSION: { exit: 5, meaning: 'the trace was written by a newer format version than is known' },
  E_TRACE_DAMAGED: { exit: 3, meaning: 'a trace directory lacks a part or a part is damaged' },
  E_NO_DATA: { exit: 3, meaning: 'the trace holds nothing of what was asked for' },
  E_HOST: { exit: 6, meaning: 'the live host cannot be reached, or lacks what recording needs' },
  E_HOST_BUSY: { exit: 6, meaning: 'something else on the live host holds what recording needs' },
  E_NO_DOMAIN: { exit: 6, meaning: 'the live host has no such domain, or nothing serves it' },
  E_NOT_REPLAYABLE: { exit: 3, meaning: 'the recording lacks what a replay needs' },
  E_TARGET: { exit: 7, meaning: 'a device model that a replay drives is missing, ended or does not answer' },
  E_SERVER: { exit: 8, meaning: 'the database server cannot be reached, does not answer, or refused' },
  E_SERVER_VERSION: { exit: 8, meaning: 'the database server is too old' },
  E_SCHEMA_VERSION: {
    exit: 5,
    meaning: 'the tables on the database server were made by a newer version than is known',
  },
  E_INTERNAL: { exit: 70, meaning: 'a fault in ioreq-trace itself' },
} as const satisfies Record<string, { exit: number; meaning: string }>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface TraceErrorDetail {
  /** File, or file and part of it, that the failure is about. */
  source?: string;
  /** Byte offset in `source` at which the offending record starts or the missing byte would be. */
  offset?: number;
  expected?: string;
  got?: string;
}

/** One precise failure: what, where, what was expected and what was found. */
export class TraceError extends Error {
  override readonly name = 'TraceError';
  readonly code: ErrorCode;
  readonly detail: Readonly<TraceErrorDetail>;

  constructor(code: ErrorCode, what: string, detail: TraceErrorDetail = {}) {
    super(describe(what, detail));
    this.code = code;
    this.detail = detail;
  }

  get exitCode(): number {
    return ERROR_CODES[this.code].exit;
  }
}

function describe(what: string, { source, offset, expected, got }: TraceErrorDetail): string {
  let where = source ?? '';
  if (offset !== undefined) where += `${where === '' ? '' : ' '}at byte ${offset}`;
  let text = where === '' ? what : `${where}: ${what}`;
  if (expected !== undefined) text += `; expected ${expected}`;
  if (got !== undefined) text += `${expected === undefined ? ';' : ','} got ${got}`;
  return text;
}

export function isTraceError(error: unknown): error is TraceError {
  return error instanceof TraceError;
}

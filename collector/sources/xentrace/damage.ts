import { TraceError } from '../../../trace/errors.ts';
import type { ErrorCode } from '../../../trace/errors.ts';

/**
 * The one error a file may give: of all the places where it is damaged, the first in the file. Lanes meet
 * damage in time order, which is not file order.
 */
export class Damage {
  private readonly source: string;
  private readonly errors: TraceError[];
  private at = Infinity;

  constructor(source: string, errors: TraceError[]) {
    this.source = source;
    this.errors = errors;
  }

  /** Whether a report of that place would be kept: spares the making of its texts. */
  isFirst(offset: number): boolean {
    return offset < this.at;
  }

  report(code: ErrorCode, offset: number, what: string, expected?: string, got?: string): void {
    if (!this.isFirst(offset)) return;
    this.at = offset;
    this.errors[0] = new TraceError(code, what, {
      source: this.source,
      offset,
      ...(expected === undefined ? {} : { expected }),
      ...(got === undefined ? {} : { got }),
    });
  }

  /** A failure of the input itself (E_UNREADABLE), which outranks what is in the file. */
  failed(error: TraceError): void {
    this.at = -1;
    this.errors[0] = error;
  }
}

import { ClickHouseError } from '@clickhouse/client';
import { TraceError, isTraceError } from '../../trace/errors.ts';

/** Errors by which a connection fails that may well work a little later. */
const PASSING = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'ENOTFOUND',
  'UND_ERR_SOCKET',
]);
/**
 * Answers of a server that is up but cannot take the work now (src/Common/ErrorCodes.cpp): TIMEOUT_EXCEEDED is not
 * one, the same query would take as long again.
 */
const BUSY = new Set(['202', '209', '210', '241', '242', '252', '319', '999', '236', '394', '439', '735']);
const NOT_ENOUGH_SPACE = '243';

/** Whether the same request may succeed when it is sent again. */
export function mayPass(error: unknown): boolean {
  if (error instanceof ClickHouseError) return BUSY.has(error.code);
  return (
    PASSING.has(systemCode(error)) ||
    /socket hang up|aborted|Timeout error|Premature close/i.test(text(error))
  );
}

/** What went wrong, in one line and with nothing of the credentials. */
export function serverError(error: unknown, place: string, doing: string): TraceError {
  if (isTraceError(error)) return error;
  if (error instanceof ClickHouseError) {
    const name = error.type ?? `code ${error.code}`;
    if (error.code === NOT_ENOUGH_SPACE || /No space left on device/.test(error.message))
      return new TraceError('E_SERVER', `the server's disk is full (${name}) ${doing}`, { source: place });
    return new TraceError('E_SERVER', `the server refused ${doing} (${name}): ${oneLine(error.message)}`, {
      source: place,
    });
  }
  const code = systemCode(error);
  if (code === 'ECONNREFUSED') return unreachable('nobody listens there', place);
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return unreachable('no such host', place);
  if (/Timeout error/i.test(text(error)) || code === 'ETIMEDOUT')
    return unreachable('it does not answer', place);
  const why = code === '' ? oneLine(text(error)) : code;
  return new TraceError('E_SERVER', `the connection failed ${doing} (${why})`, { source: place });
}

function unreachable(why: string, place: string): TraceError {
  return new TraceError('E_SERVER', `cannot be reached: ${why}`, { source: place });
}

function systemCode(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  if (typeof code === 'string' && /^[A-Z]/.test(code)) return code;
  return cause === undefined || cause === error ? '' : systemCode(cause);
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The message's first line, of bearable length: servers add stacks and whole queries. */
function oneLine(message: string): string {
  const [first = ''] = message.replace(/\s*\(version [^)]*\)/, '').split('\n');
  return first.length > 400 ? `${first.slice(0, 400)} ...` : first;
}

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

/** OpenSSL's and Node's codes, and what they mean here. */
const TLS_ERRORS: readonly (readonly [codes: RegExp, meaning: string])[] = [
  [/^CERT_HAS_EXPIRED$/, "the server's certificate has expired"],
  [/^CERT_NOT_YET_VALID$/, "the server's certificate is not valid yet"],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$/, "the server's certificate is for another host"],
  [
    /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|CERT_|HOSTNAME_MISMATCH|INVALID_)/,
    "the server's certificate is of no authority that is known here: name its own by ?ca=FILE",
  ],
  [
    /^ERR_SSL_(TLSV13_ALERT_CERTIFICATE_REQUIRED|SSLV3_ALERT|TLSV1_ALERT_UNKNOWN_CA)/,
    'the server does not take this client certificate, or wants one: ?cert=FILE&key=FILE',
  ],
  [
    /^(ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_PACKET_LENGTH_TOO_LONG|EPROTO)$/,
    'the server speaks no TLS on this port',
  ],
  [/^(ERR_OSSL_|ERR_SSL_)/, 'no TLS connection can be made'],
];

/** Failures of which that is known: what they were made of is gone. */
const passing = new WeakSet<TraceError>();

/** Whether the same request may succeed when it is sent again. */
export function mayPass(error: unknown): boolean {
  if (isTraceError(error)) return passing.has(error);
  if (error instanceof ClickHouseError) return BUSY.has(error.code);
  return (
    PASSING.has(systemCode(error)) ||
    /socket hang up|aborted|Timeout error|Premature close/i.test(text(error))
  );
}

/** What went wrong, in one line and with nothing of the credentials. */
export function serverError(error: unknown, place: string, doing: string): TraceError {
  if (isTraceError(error)) return error;
  const failure = describe(error, place, doing);
  if (mayPass(error)) passing.add(failure);
  return failure;
}

function describe(error: unknown, place: string, doing: string): TraceError {
  if (error instanceof ClickHouseError) {
    const name = error.type ?? `code ${error.code}`;
    if (error.code === NOT_ENOUGH_SPACE || /No space left on device/.test(error.message))
      return new TraceError('E_SERVER', `the server's disk is full (${name}) ${doing}`, { source: place });
    // Every query here says how its answer is to be written.
    const hint =
      name === 'READONLY' && /Cannot modify/.test(error.message)
        ? '; a user who reads needs readonly = 2'
        : '';
    const words = oneLine(error.message).trim();
    return new TraceError('E_SERVER', `the server refused ${doing} (${name}): ${words}${hint}`, {
      source: place,
    });
  }
  const code = systemCode(error);
  if (code === 'ECONNREFUSED') return unreachable('nobody listens there', place);
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return unreachable('no such host', place);
  if (/Timeout error/i.test(text(error)) || code === 'ETIMEDOUT')
    return unreachable('it does not answer', place);
  const tls = TLS_ERRORS.find(([codes]) => codes.test(code));
  if (tls !== undefined) return new TraceError('E_SERVER', `${tls[1]} (${code})`, { source: place });
  if (/^(clickhouses|https):/.test(place) && /^(ECONNRESET|EPIPE)$/.test(code)) {
    // With TLS 1.3 a server tells of a missing certificate when the client is through already, and hangs up.
    const may = 'it may want a client certificate: ?cert=FILE&key=FILE';
    return new TraceError('E_SERVER', `the server ended the connection (${code}); ${may}`, { source: place });
  }
  const why = code === '' ? oneLine(text(error)) : code;
  return new TraceError('E_SERVER', `the connection failed (${why})`, { source: place });
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

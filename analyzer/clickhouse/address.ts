import { readFileSync } from 'node:fs';
import { TraceError } from '../../trace/errors.ts';
import { systemReason } from '../../trace/replace-file.ts';

/** Where a server is and how to be let in. The password is in here alone: print `place`, never this. */
export interface Address {
  /** For messages: scheme, host, port and database, no credentials. */
  readonly place: string;
  /** Base URLs of HTTP interfaces, the first for everything; the others are only told to make tables. */
  readonly urls: readonly string[];
  readonly database: string;
  readonly user: string;
  readonly password: string;
  readonly tls: { ca: Buffer; cert?: Buffer; key?: Buffer } | undefined;
  /** `?timeout=`: how long the server may say nothing, ms. */
  readonly timeoutMs?: number;
  /** Path segments behind the database's: of clickhouse://host/db/TRACE it is TRACE. */
  readonly rest: readonly string[];
}

export const DEFAULT_DATABASE = 'ioreq_trace';
const USER_VARIABLE = 'IOREQ_TRACE_CLICKHOUSE_USER';
const PASSWORD_VARIABLE = 'IOREQ_TRACE_CLICKHOUSE_PASSWORD';

type Environment = Readonly<Record<string, string | undefined>>;

const SCHEMES: Readonly<Record<string, { http: 'http' | 'https'; port: number }>> = {
  clickhouse: { http: 'http', port: 8123 },
  clickhouses: { http: 'https', port: 8443 },
  http: { http: 'http', port: 8123 },
  https: { http: 'https', port: 8443 },
};
/** Scheme, credentials, hosts, path, options. The URL class takes no list of hosts. */
const URL_PARTS = /^([a-z]+):\/\/(?:([^@/?#]*)@)?([^@/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/;
const HOST = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?$/;
/** What needs no quotes anywhere, or just backquotes. */
const DATABASE = /^[A-Za-z0-9_-]{1,64}$/;
const TLS_OPTIONS = ['ca', 'cert', 'key'];

/**
 * Reads clickhouse://[user[:password]@]host[:port][,host2:port2 ...][/database[/...]][?ca=FILE&cert=FILE&key=FILE&timeout=SECONDS];
 * clickhouses:// and https:// speak TLS. What the URL lacks of the credentials comes from the environment.
 * Throws E_USAGE, which never quotes the URL: it may hold a password; E_UNREADABLE for a file of a certificate.
 */
export function parseAddress(url: string, env: Environment): Address {
  const parts = URL_PARTS.exec(url);
  const scheme = SCHEMES[parts?.[1] ?? ''];
  if (parts === null || scheme === undefined) throw wrong('no URL of a server');
  const hosts = (parts[3] ?? '').split(',');
  const urls = hosts.map((host) => {
    const found = HOST.exec(host);
    if (found === null || Number(found[1] ?? 1) < 1 || Number(found[1] ?? 1) > 65_535)
      throw wrong('no host in the URL');
    return `${scheme.http}://${host}${found[1] === undefined ? `:${scheme.port}` : ''}`;
  });
  const [database = DEFAULT_DATABASE, ...rest] = (parts[4] ?? '').split('/').filter(Boolean).map(decoded);
  if (!DATABASE.test(database)) throw wrong('no name of a database in the URL', 'letters, digits, _ and -');
  const credentials = parts[2];
  const colon = credentials?.indexOf(':') ?? -1;
  const inUrl = (from: number, to?: number): string | undefined =>
    credentials === undefined ? undefined : decoded(credentials.slice(from, to));
  const user = colon >= 0 ? inUrl(0, colon) : inUrl(0);
  const password = colon >= 0 ? inUrl(colon + 1) : undefined;
  return {
    place: `${parts[1]!}://${hosts.join(',')}/${database}`,
    urls,
    database,
    user: user !== undefined && user !== '' ? user : (env[USER_VARIABLE] ?? 'default'),
    password: password ?? env[PASSWORD_VARIABLE] ?? '',
    ...optionsOf(parts[5] ?? '', scheme.http === 'https'),
    rest,
  };
}

function optionsOf(query: string, secure: boolean): Pick<Address, 'tls' | 'timeoutMs'> {
  const files = new Map<string, Buffer>();
  let timeout: { timeoutMs?: number } = {};
  for (const [name, value] of new URLSearchParams(query)) {
    if (name === 'timeout') {
      timeout = { timeoutMs: secondsOf(value) * 1000 };
      continue;
    }
    if (!TLS_OPTIONS.includes(name))
      throw wrong(`unknown option ${name} in the URL`, [...TLS_OPTIONS, 'timeout'].join(', '));
    if (!secure) throw wrong(`option ${name} without TLS`, 'clickhouses:// or https://');
    files.set(name, readCertificate(value));
  }
  return { tls: tlsOf(files), ...timeout };
}

/** A day is more than any statement takes, and what timers can wait. */
const LONGEST_SECONDS = 86_400;

function secondsOf(text: string): number {
  const seconds = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : NaN;
  if (seconds >= 0.1 && seconds <= LONGEST_SECONDS) return seconds;
  throw wrong('no length of time in option timeout of the URL', `seconds, 0.1 to ${LONGEST_SECONDS}`);
}

function tlsOf(files: ReadonlyMap<string, Buffer>): Address['tls'] {
  if (files.size === 0) return undefined;
  const [ca, cert, key] = TLS_OPTIONS.map((name) => files.get(name));
  if (ca === undefined) throw wrong('certificates without that of the authority', 'ca=FILE');
  if (cert === undefined && key === undefined) return { ca };
  if (cert === undefined || key === undefined)
    throw wrong('a half of a client certificate', 'cert=FILE and key=FILE');
  return { ca, cert, key };
}

function readCertificate(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new TraceError('E_UNREADABLE', `cannot be read (${systemReason(error)})`, { source: path });
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrong('a broken % escape in the URL');
  }
}

function wrong(what: string, expected = 'clickhouse://user@host:port/database'): TraceError {
  return new TraceError('E_USAGE', what, { expected });
}

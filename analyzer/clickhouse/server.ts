import { Agent } from 'node:https';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseClient, ClickHouseClientConfigOptions, ClickHouseSettings } from '@clickhouse/client';
import { ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { TraceError } from '../../trace/errors.ts';
import type { Address } from './address.ts';
import { mayPass, serverError } from './server-error.ts';

export type Parameters = Readonly<Record<string, unknown>>;

/** Released in 2025: the first with all that the passes use and that the tests were run with is 26.7. */
const LEAST_VERSION = [25, 3] as const;
/** How long a server may say nothing at all, ms; `?timeout=` of the URL says otherwise. */
const REQUEST_MS = 600_000;
/** The same for the first question, which a server has nothing to do for. */
const FIRST_REQUEST_MS = 20_000;
/** How long to wait for a server that went away, ms, and between two tries. */
const PATIENCE_MS = 60_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 3_000;

export interface ConnectOptions {
  /** How long requests wait for a server that cannot be reached, ms; 0: they fail at once. */
  patienceMs?: number;
  /** Called before each pause with what went wrong. */
  onRetry?: (error: TraceError) => void;
  requestMs?: number;
  /** Names no database: the address' own may not be there yet. */
  anyDatabase?: boolean;
  /** Ends requests that are under way and all waiting: they reject with E_SERVER. */
  signal?: AbortSignal;
}

/**
 * A long statement says meanwhile that it is not dead, by a header each minute: else the wait for its answer would end,
 * here or in a proxy. Some 80 fit (Node takes 16 kB of headers).
 */
const ALIVE: ClickHouseSettings = {
  send_progress_in_http_headers: 1,
  http_headers_progress_interval_ms: '60000',
};

/**
 * With a client certificate the client asks to be known by that alone, which a server does not take beside a password:
 * where there is one, the certificate is for the connection (often a proxy's) and the password for the database.
 */
function tlsConfig({ tls, password }: Address): Pick<ClickHouseClientConfigOptions, 'tls' | 'http_agent'> {
  if (tls === undefined) return {};
  const { ca, cert, key } = tls;
  if (cert === undefined || key === undefined) return { tls: { ca_cert: ca } };
  if (password === '') return { tls: { ca_cert: ca, cert, key } };
  return { http_agent: new Agent({ ca, cert, key, keepAlive: false }) };
}

/** One server and its database. Methods reject with E_SERVER; a message never holds credentials. */
export class Server {
  readonly place: string;
  readonly database: string;
  readonly address: Address;
  private readonly client: ClickHouseClient;
  private readonly patienceMs: number;
  private readonly onRetry: (error: TraceError) => void;
  private readonly options: ConnectOptions;
  private readonly abort: { abort_signal?: AbortSignal };

  constructor(address: Address, options: ConnectOptions = {}, url = address.urls[0]!) {
    this.address = address;
    this.options = options;
    this.abort = options.signal === undefined ? {} : { abort_signal: options.signal };
    this.place = address.place;
    this.database = address.database;
    this.patienceMs = options.patienceMs ?? 0;
    this.onRetry = options.onRetry ?? (() => undefined);
    this.client = createClient({
      url,
      username: address.user,
      password: address.password,
      application: 'ioreq-trace',
      request_timeout: options.requestMs ?? address.timeoutMs ?? REQUEST_MS,
      ...(options.anyDatabase === true ? {} : { database: address.database }),
      // A kept connection that the server has closed in the meantime fails the next request.
      keep_alive: { enabled: true, idle_socket_ttl: 1500 },
      log: { level: ClickHouseLogLevel.OFF },
      ...tlsConfig(address),
    });
  }

  /** The same place through another of the address' URLs. */
  replica(url: string, anyDatabase: boolean): Server {
    return new Server(this.address, { ...this.options, anyDatabase }, url);
  }

  /** Rows of a SELECT, whole numbers up to 2^53 as numbers; nan and inf come as strings. Sent again if need be. */
  async rows<T>(query: string, params: Parameters = {}, settings: ClickHouseSettings = {}): Promise<T[]> {
    return this.again('a query', async () => {
      const result = await this.client.query({
        query,
        format: 'JSONEachRow',
        query_params: { ...params },
        ...this.abort,
        clickhouse_settings: {
          ...ALIVE,
          output_format_json_quote_64bit_integers: 0,
          output_format_json_quote_denormals: 1,
          wait_end_of_query: 1,
          ...settings,
        },
      });
      return result.json<T>();
    });
  }

  /** A statement that may be sent twice without harm: DDL with IF [NOT] EXISTS. */
  async command(query: string, params: Parameters = {}, settings: ClickHouseSettings = {}): Promise<void> {
    await this.again('a statement', async () => {
      await this.client.command({
        query,
        query_params: { ...params },
        ...this.abort,
        clickhouse_settings: settings,
      });
    });
  }

  /** A statement that must not be sent twice. `id`: by which the server knows it while it runs. */
  async once(
    query: string,
    params: Parameters,
    settings: ClickHouseSettings = {},
    id?: string,
  ): Promise<void> {
    try {
      await this.client.command({
        query,
        query_params: { ...params },
        ...(id === undefined ? {} : { query_id: id }),
        ...this.abort,
        clickhouse_settings: { ...ALIVE, wait_end_of_query: 1, ...settings },
      });
    } catch (error) {
      throw serverError(error, this.place, 'a statement');
    }
  }

  /** The answer of a query as bytes, in the format that it names. */
  async bytes(
    query: string,
    params: Parameters = {},
    settings: ClickHouseSettings = {},
  ): Promise<Uint8Array> {
    return this.again('a query', async () => {
      const { stream } = await this.client.exec({
        query,
        query_params: { ...params },
        ...this.abort,
        clickhouse_settings: settings,
      });
      const pieces: Uint8Array[] = [];
      for await (const piece of stream) pieces.push(piece as Uint8Array);
      return Buffer.concat(pieces);
    });
  }

  /** Sends one INSERT whose data are `body`, once. Rejects with what the client gave: insertOnce tells them apart. */
  async insert(
    query: string,
    body: Iterable<Uint8Array>,
    params: Parameters,
    settings: ClickHouseSettings,
  ): Promise<void> {
    const { stream } = await this.client.exec({
      query,
      values: Readable.from(body, { objectMode: false }),
      query_params: { ...params },
      ...this.abort,
      clickhouse_settings: settings,
    });
    // The server says that it is done by ending its answer.
    stream.resume();
    await finished(stream);
  }

  /** The answer of a query, in the format that it names, as it comes. Rejects with what the client gave. */
  async stream(
    query: string,
    id?: string,
    params: Parameters = {},
    settings: ClickHouseSettings = {},
  ): Promise<Readable> {
    const { stream } = await this.client.exec({
      query,
      query_params: { ...params },
      ...(id === undefined ? {} : { query_id: id }),
      ...this.abort,
      clickhouse_settings: settings,
    });
    return stream;
  }

  /** Runs `attempt` until it succeeds, fails for good, or the patience ends. */
  async again<T>(doing: string, attempt: (tries: number) => Promise<T>): Promise<T> {
    let pause = FIRST_PAUSE_MS;
    let deadline: number | undefined;
    for (let tries = 0; ; tries++) {
      try {
        return await attempt(tries);
      } catch (error) {
        const failure = serverError(error, this.place, doing);
        deadline ??= Date.now() + this.patienceMs;
        const { signal } = this.options;
        if (!mayPass(error) || Date.now() + pause > deadline || signal?.aborted === true) throw failure;
        this.onRetry(failure);
        await sleep(pause, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
        pause = Math.min(LONGEST_PAUSE_MS, pause * 2);
      }
    }
  }

  async close(): Promise<void> {
    await this.client.close();
  }
}

export { PATIENCE_MS };

/** Rejects with E_SERVER (gone, refused, no ClickHouse) or E_SERVER_VERSION. */
export async function connect(address: Address, options: ConnectOptions = {}): Promise<Server> {
  // The first contact fails at once: a wrong address should not take a minute to say so.
  const requestMs = Math.min(options.requestMs ?? address.timeoutMs ?? FIRST_REQUEST_MS, FIRST_REQUEST_MS);
  const first = new Server(address, { ...options, requestMs, patienceMs: 0, anyDatabase: true });
  try {
    checkVersion(await versionOf(first), address.place);
  } finally {
    await first.close();
  }
  return new Server(address, options);
}

async function versionOf(server: Server): Promise<string> {
  // No parameters and no settings: servers of any age understand this.
  const answer = await server.bytes('SELECT version() FORMAT TabSeparated');
  return Buffer.from(answer).toString('utf8').trim().slice(0, 100);
}

function checkVersion(version: string, place: string): void {
  const [major = NaN, minor = NaN] = version.split('.').map(Number);
  const [leastMajor, leastMinor] = LEAST_VERSION;
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return;
  throw new TraceError('E_SERVER_VERSION', 'the ClickHouse server is too old', {
    source: place,
    expected: `version ${leastMajor}.${leastMinor} or later`,
    got: /^[0-9.]+/.test(version) ? version : 'no version',
  });
}

import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { ClickHouseClient, ClickHouseSettings } from '@clickhouse/client';
import { ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { TraceError } from '../../trace/errors.ts';
import type { Address } from './address.ts';
import { mayPass, serverError } from './server-error.ts';

export type Parameters = Readonly<Record<string, unknown>>;

/** Released in 2025: the first with all that the passes use and that the tests were run with is 26.7. */
const LEAST_VERSION = [25, 3] as const;
const REQUEST_MS = 600_000;
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
}

/** One server and its database. Methods reject with E_SERVER; a message never holds credentials. */
export class Server {
  readonly place: string;
  readonly database: string;
  readonly address: Address;
  private readonly client: ClickHouseClient;
  private readonly patienceMs: number;
  private readonly onRetry: (error: TraceError) => void;

  constructor(address: Address, options: ConnectOptions = {}, url = address.urls[0]!) {
    this.address = address;
    this.place = address.place;
    this.database = address.database;
    this.patienceMs = options.patienceMs ?? 0;
    this.onRetry = options.onRetry ?? (() => undefined);
    const { tls } = address;
    this.client = createClient({
      url,
      username: address.user,
      password: address.password,
      application: 'ioreq-trace',
      request_timeout: options.requestMs ?? REQUEST_MS,
      ...(options.anyDatabase === true ? {} : { database: address.database }),
      // A kept connection that the server has closed in the meantime fails the next request.
      keep_alive: { enabled: true, idle_socket_ttl: 1500 },
      log: { level: ClickHouseLogLevel.OFF },
      ...(tls === undefined
        ? {}
        : {
            tls:
              tls.cert !== undefined && tls.key !== undefined
                ? { ca_cert: tls.ca, cert: tls.cert, key: tls.key }
                : { ca_cert: tls.ca },
          }),
    });
  }

  /** The same place through another of the address' URLs. */
  replica(url: string, anyDatabase: boolean): Server {
    return new Server(this.address, { patienceMs: this.patienceMs, onRetry: this.onRetry, anyDatabase }, url);
  }

  /** Rows of a SELECT, whole numbers up to 2^53 as numbers; nan and inf come as strings. Sent again if need be. */
  async rows<T>(query: string, params: Parameters = {}, settings: ClickHouseSettings = {}): Promise<T[]> {
    return this.again('a query', async () => {
      const result = await this.client.query({
        query,
        format: 'JSONEachRow',
        query_params: { ...params },
        clickhouse_settings: {
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
      await this.client.command({ query, query_params: { ...params }, clickhouse_settings: settings });
    });
  }

  /** A statement that must not be sent twice. */
  async once(query: string, params: Parameters, settings: ClickHouseSettings = {}): Promise<void> {
    try {
      await this.client.command({
        query,
        query_params: { ...params },
        clickhouse_settings: { wait_end_of_query: 1, ...settings },
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
      clickhouse_settings: settings,
    });
    // The server says that it is done by ending its answer.
    stream.resume();
    await finished(stream);
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
        if (!mayPass(error) || Date.now() + pause > deadline) throw failure;
        this.onRetry(failure);
        await new Promise((resolve) => setTimeout(resolve, pause));
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
  const first = new Server(address, { ...options, patienceMs: 0, anyDatabase: true });
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

import type { Duplex, Readable, Writable } from 'node:stream';

/** What one finished command gave. `code` is null if a signal ended it. */
export interface CommandResult {
  stdout: string;
  stderr: string;
  code: number | null;
}

export interface CommandOptions {
  /** Kills the command after that many ms; the result's code is null then. Default 30 000. */
  timeoutMs?: number;
  /** Given on its stdin; nothing by default. */
  input?: string;
  /** Most bytes kept of each of stdout and stderr; more is cut off. Default 64 MiB. */
  maxBytes?: number;
}

/** A running command whose output is bytes. */
export interface HostProcess {
  /** Ending it is how the command is asked to stop (the host sees end of file, also if this side dies). */
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** The last lines it wrote on stderr. */
  stderrTail(): string;
  /** Resolves once it has ended and its output was read. `lost`: the connection broke. Never rejects. */
  readonly ended: Promise<{ code: number | null; lost: boolean }>;
  /** Ends it at once. */
  kill(): void;
}

/**
 * The host under test, whether this machine or one reached by ssh: the one way by which anything is read from or
 * changed on it. Scripts are POSIX sh; nothing but a shell is needed on the other side.
 */
export interface HostTransport {
  /** For messages: 'this host' or 'root@board'. */
  readonly name: string;
  /** True where files of the host are files of this process. */
  readonly local: boolean;
  /** Runs a script to its end. Rejects with E_HOST if it cannot be started or the connection is gone. */
  run(script: string, options?: CommandOptions): Promise<CommandResult>;
  /** Starts a script whose stdout is a stream of bytes. */
  stream(script: string): Promise<HostProcess>;
  /** Connects to a Unix socket of the host (a device model's QMP). */
  connect(socketPath: string): Promise<Duplex>;
  /** Resolves with the reason when the host can no longer be reached; never for this machine. */
  readonly lost: Promise<string>;
  close(): Promise<void>;
}

/** A word for sh: quoted whole. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

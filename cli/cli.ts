import type { TraceError } from '../trace/errors.ts';
import { escapeText } from './output/escape.ts';
import type { Style } from './output/style.ts';
import { styleFor } from './output/style.ts';

/** What a command may use of the process: everything goes through here, so that tests can watch it. */
export interface CliStreams {
  stdout: (text: string) => void;
  stderr: (text: string) => void;
  stdoutIsTerminal: boolean;
  stderrIsTerminal: boolean;
  env: Readonly<Record<string, string | undefined>>;
  /** What a second thread would run (cli/main.ts); undefined: there is none to be had. */
  script?: URL;
}

export class Cli {
  readonly version: string;
  readonly out: Style;
  readonly err: Style;
  readonly streams: CliStreams;
  /** What the process will exit with (trace/errors.ts). */
  exitCode = 0;

  constructor(streams: CliStreams, version: string) {
    this.streams = streams;
    this.version = version;
    this.out = styleFor(streams.stdoutIsTerminal, streams.env);
    this.err = styleFor(streams.stderrIsTerminal, streams.env);
  }

  /** A line, or several, of the result. */
  print(text: string): void {
    this.streams.stdout(`${text}\n`);
  }

  /** Something to know that does not change the exit code. */
  warn(text: string): void {
    this.streams.stderr(`${this.err.yellow('warning:')} ${escapeText(text)}\n`);
  }

  /** A failure in one line; the first one's exit code stays. */
  fail(error: TraceError): void {
    this.streams.stderr(`${this.err.red(`trace: ${error.code}:`)} ${escapeText(error.message)}\n`);
    if (this.exitCode === 0) this.exitCode = error.exitCode;
  }
}

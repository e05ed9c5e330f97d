import { createServer, type Server } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { TraceError } from '../../trace/errors.ts';
import { DebugAdapter, type OpenLaunch } from './adapter.ts';

/** One editor over two streams; resolves when it has left, with what was wrong with what it sent. */
export function serveStreams(
  input: Readable,
  output: Writable,
  open: OpenLaunch,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    new DebugAdapter(input, output, open, (why) => {
      // Standard input would keep the process.
      input.destroy();
      resolve(why);
    });
  });
}

/**
 * Editors over TCP on the loopback interface, each with a replay of its own, until the process is told to end.
 * `listening` gets the port. Rejects with E_USAGE if the port cannot be had.
 */
export async function servePort(
  port: number,
  open: OpenLaunch,
  listening: (port: number) => void,
): Promise<void> {
  const server: Server = createServer((socket) => {
    new DebugAdapter(socket, socket, open, () => socket.end());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      reject(new TraceError('E_USAGE', `port ${port} cannot be listened on (${error.message})`));
    });
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      listening(typeof address === 'object' && address !== null ? address.port : port);
    });
    const end = (): void => {
      server.close();
      resolve();
    };
    process.once('SIGINT', end);
    process.once('SIGTERM', end);
  });
}

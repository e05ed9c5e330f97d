import { createReadStream, type ReadStream } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { TraceError } from '../trace/errors.ts';

export interface PageServer {
  url: string;
  close: () => Promise<void>;
}

const HEADERS = {
  'Content-Type': 'text/html; charset=utf-8',
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/**
 * Serves one page on the loopback interface (`port` 0: any that is free), and of `rows`, the file of its rows, the
 * bytes that /rows?FROM-TO names. Requests whose Host is not this server's
 * own address are refused: a name on the internet that resolves to 127.0.0.1 must not let a web site read a trace.
 * E_WRITE if the port cannot be had.
 */
export async function servePage(file: string, port: number, rows?: string): Promise<PageServer> {
  const server = createServer((request, response) => {
    answer(file, rows, (server.address() as AddressInfo).port, request, response);
  });
  await new Promise<void>((done, fail) => {
    server.once('error', (error) => {
      fail(new TraceError('E_WRITE', `the page cannot be served on port ${port}: ${error.message}`));
    });
    server.listen(port, '127.0.0.1', done);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((done) => {
        server.close(() => {
          done();
        });
        server.closeAllConnections();
      }),
  };
}

function answer(
  file: string,
  rows: string | undefined,
  port: number,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const refuse = (status: number, why: string): void => {
    response.writeHead(status, { ...HEADERS, 'Content-Type': 'text/plain; charset=utf-8' }).end(`${why}\n`);
  };
  const send = (bytes: ReadStream, type: string): void => {
    response.writeHead(200, { ...HEADERS, 'Content-Type': type });
    bytes.on('error', () => response.destroy()).pipe(response);
  };
  const part = /^\/rows\?(\d{1,15})-(\d{1,15})$/.exec(request.url ?? '');
  const { host = '' } = request.headers;
  if (host !== `127.0.0.1:${port}` && host !== `localhost:${port}`) refuse(403, 'another host');
  else if (request.method !== 'GET' && request.method !== 'HEAD') refuse(405, 'GET only');
  else if (part !== null && rows !== undefined) {
    const [start, end] = [Number(part[1]), Number(part[2]) - 1];
    if (!(end >= start)) refuse(400, 'no bytes');
    else send(createReadStream(rows, { start, end }), 'application/octet-stream');
  } else if (request.url !== '/') refuse(404, 'there is only /');
  else if (request.method === 'HEAD') response.writeHead(200, HEADERS).end();
  else send(createReadStream(file), HEADERS['Content-Type']);
}

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { servePage, type PageServer } from './page-server.ts';

let dir = '';
let server: PageServer;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ioreq-trace-serve-'));
  writeFileSync(join(dir, 'page.html'), '<html>the page</html>');
  server = await servePage(join(dir, 'page.html'), 0);
});
afterAll(async () => {
  await server.close();
  rmSync(dir, { recursive: true });
});

function ask(
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
  hostname = '127.0.0.1',
): Promise<{ status: number; body: string; headers: Record<string, unknown> }> {
  const { port } = new URL(server.url);
  return new Promise((done, fail) => {
    request({ hostname, port, path, method, headers }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => {
        done({ status: response.statusCode!, body, headers: response.headers });
      });
    })
      .on('error', fail)
      .end();
  });
}

describe('servePage', () => {
  it('gives the page and nothing else', async () => {
    const page = await ask('/');
    expect(page).toMatchObject({ status: 200, body: '<html>the page</html>' });
    expect(page.headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY' });
    expect(await ask('/page.html')).toMatchObject({ status: 404 });
    expect(await ask('/../page.html')).toMatchObject({ status: 404 });
    expect(await ask('/', {}, 'POST')).toMatchObject({ status: 405 });
    expect(await ask('/', {}, 'HEAD')).toMatchObject({ status: 200, body: '' });
  });

  it('refuses a host that is not its own: a name that was bound to the loopback address', async () => {
    const { port } = new URL(server.url);
    expect(await ask('/', { host: `evil.example:${port}` })).toMatchObject({
      status: 403,
      body: 'another host\n',
    });
    expect(await ask('/', { host: '127.0.0.1:1' })).toMatchObject({ status: 403 });
    expect(await ask('/', { host: `localhost:${port}` })).toMatchObject({ status: 200 });
  });

  it('does not listen on other interfaces', async () => {
    const others = Object.values(networkInterfaces())
      .flat()
      .filter((i) => i !== undefined && i.family === 'IPv4' && !i.internal);
    for (const other of others) {
      await expect(ask('/', {}, 'GET', other!.address)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    }
  });

  it('says that a port is taken', async () => {
    const { port } = new URL(server.url);
    await expect(servePage(join(dir, 'page.html'), Number(port))).rejects.toMatchObject({ code: 'E_WRITE' });
  });
});

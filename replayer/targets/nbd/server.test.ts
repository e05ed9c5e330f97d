import { createServer, connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { Intake } from './intake.ts';
import * as nbd from './protocol.ts';
import { NbdServer } from './server.ts';

/** A plain client at the other end of a real socket. */
class Client {
  readonly socket: Socket;
  private readonly intake = new Intake();
  private wake: (() => void) | undefined;
  private tag = 0;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.intake.push(chunk);
      this.wake?.();
    });
  }

  async take(length: number): Promise<Buffer> {
    for (;;) {
      const bytes = this.intake.take(length);
      if (bytes !== undefined) return bytes;
      await new Promise<void>((done) => (this.wake = done));
    }
  }

  option(kind: number, data = Buffer.alloc(0)): void {
    const head = Buffer.alloc(16);
    head.writeBigUInt64BE(nbd.NBD_OPTION_MAGIC);
    head.writeUInt32BE(kind, 8);
    head.writeUInt32BE(data.length, 12);
    this.socket.write(Buffer.concat([head, data]));
  }

  /** Option and type of the reply, and its data. */
  async optionReply(): Promise<[option: number, type: number, data: Buffer]> {
    const head = await this.take(20);
    expect(head.readBigUInt64BE()).toBe(nbd.NBD_OPTION_REPLY_MAGIC);
    return [head.readUInt32BE(8), head.readUInt32BE(12), await this.take(head.readUInt32BE(16))];
  }

  /** Sends a request; gives its number, which its answer will bear. */
  request(command: number, offset: number, length: number, data = Buffer.alloc(0)): number {
    const head = Buffer.alloc(28);
    head.writeUInt32BE(nbd.NBD_REQUEST_MAGIC);
    head.writeUInt16BE(command, 6);
    head.writeBigUInt64BE(BigInt(++this.tag), 8);
    head.writeBigUInt64BE(BigInt(offset), 16);
    head.writeUInt32BE(length, 24);
    this.socket.write(Buffer.concat([head, data]));
    return this.tag;
  }

  async answer(): Promise<[tag: number, error: number]> {
    const head = await this.take(16);
    expect(head.readUInt32BE()).toBe(nbd.NBD_REPLY_MAGIC);
    return [Number(head.readBigUInt64BE(8)), head.readUInt32BE(4)];
  }
}

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

async function pair(bytes: Uint8Array, readOnly = false): Promise<{ server: NbdServer; client: Client }> {
  const folder = mkdtempSync(join(tmpdir(), 'ioreq-trace-nbd-'));
  const listener = createServer().listen(join(folder, 'socket'));
  await once(listener, 'listening');
  const socket = connect(join(folder, 'socket'));
  const [inner] = (await once(listener, 'connection')) as [Socket];
  ends.push(() => {
    socket.destroy();
    inner.destroy();
    listener.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { server: new NbdServer(inner, { bytes, readOnly }), client: new Client(socket) };
}

async function ready(bytes: Uint8Array, readOnly = false): Promise<{ server: NbdServer; client: Client }> {
  const both = await pair(bytes, readOnly);
  await both.client.take(18);
  both.client.socket.write(Buffer.from([0, 0, 0, 3]));
  both.client.option(nbd.NBD_OPT_EXPORT_NAME);
  await both.client.take(10);
  return both;
}

const { READ, WRITE, FLUSH, TRIM, WRITE_ZEROES } = nbd.NBD_CMD;

it('negotiates: refuses what it does not know, tells size and flags, then serves', async () => {
  const { client } = await pair(new Uint8Array(4096).fill(7));
  const hello = await client.take(18);
  expect(hello.toString('latin1', 0, 16)).toBe('NBDMAGICIHAVEOPT');
  expect(hello.readUInt16BE(16)).toBe(3);
  client.socket.write(Buffer.from([0, 0, 0, 3]));
  client.option(77);
  expect((await client.optionReply()).slice(0, 2)).toEqual([77, nbd.NBD_REP_ERR_UNSUP]);
  client.option(nbd.NBD_OPT_GO, Buffer.from([0, 0, 0, 9, 0, 0]));
  expect((await client.optionReply()).slice(0, 2)).toEqual([nbd.NBD_OPT_GO, nbd.NBD_REP_ERR_INVALID]);
  client.option(nbd.NBD_OPT_GO, Buffer.alloc(6));
  const [, , info] = await client.optionReply();
  expect([info.readUInt16BE(0), Number(info.readBigUInt64BE(2))]).toEqual([nbd.NBD_INFO_EXPORT, 4096]);
  expect((await client.optionReply())[1]).toBe(nbd.NBD_REP_INFO);
  expect((await client.optionReply())[1]).toBe(nbd.NBD_REP_ACK);
  const tag = client.request(READ, 512, 3);
  expect(await client.answer()).toEqual([tag, 0]);
  expect([...(await client.take(3))]).toEqual([7, 7, 7]);
});

it('answers in chunks, the last of them small, when the client takes them', async () => {
  const { client } = await pair(Uint8Array.from([1, 2, 3, 4]));
  await client.take(18);
  client.socket.write(Buffer.from([0, 0, 0, 3]));
  client.option(nbd.NBD_OPT_STRUCTURED_REPLY);
  expect((await client.optionReply())[1]).toBe(nbd.NBD_REP_ACK);
  client.option(nbd.NBD_OPT_EXPORT_NAME);
  await client.take(10);
  const chunks = async (): Promise<string[]> => {
    const found: string[] = [];
    for (let done = false; !done;) {
      const head = await client.take(20);
      expect(head.readUInt32BE()).toBe(nbd.NBD_STRUCTURED_REPLY_MAGIC);
      done = head.readUInt16BE(4) === nbd.NBD_REPLY_FLAG_DONE;
      const payload = await client.take(head.readUInt32BE(16));
      found.push(`${head.readUInt16BE(6)} ${payload.toString('hex')}`.trim());
    }
    return found;
  };
  client.request(READ, 1, 2);
  const one = '1 000000000000000102';
  expect(await chunks()).toEqual(['1 00000000000000010203', one, one, one, one, '0']);
  client.request(WRITE, 0, 1, Buffer.from([9]));
  expect(await chunks()).toEqual(['2', '2', '2', '2', '0']);
  client.request(READ, 3, 2);
  expect(await chunks()).toEqual(['32769 000000160000']);
});

it('reads, writes, zeroes and refuses what lies outside', async () => {
  const bytes = new Uint8Array(1024).fill(1);
  const { client } = await ready(bytes);
  const sent = [
    client.request(WRITE, 10, 4, Buffer.from([5, 6, 7, 8])),
    client.request(WRITE_ZEROES, 12, 1),
    client.request(TRIM, 0, 5),
    client.request(FLUSH, 0, 0),
    client.request(READ, 1020, 5),
    client.request(WRITE, 1022, 4, Buffer.alloc(4, 9)),
    client.request(99, 0, 0),
  ];
  const answers = [];
  for (let i = 0; i < sent.length; i++) answers.push(await client.answer());
  const { NBD_EINVAL } = nbd;
  expect(answers).toEqual(sent.map((tag, i) => [tag, i < 4 ? 0 : NBD_EINVAL]));
  expect([...bytes.subarray(8, 15)]).toEqual([1, 1, 5, 6, 0, 8, 1]);
  expect([bytes[0], bytes[1023]]).toEqual([1, 1]);
});

it('does not write to what is read-only', async () => {
  const bytes = new Uint8Array(16);
  const { client } = await ready(bytes, true);
  client.request(WRITE, 0, 1, Buffer.from([1]));
  expect((await client.answer())[1]).toBe(nbd.NBD_EPERM);
  expect(bytes[0]).toBe(0);
});

it('holds answers back and releases them in any order', async () => {
  const { server, client } = await ready(new Uint8Array(4096));
  server.hold();
  const tags = [0, 512, 1024].map((offset) => client.request(WRITE, offset, 1, Buffer.from([1])));
  while (server.held.length < 3) await new Promise((done) => setImmediate(done));
  server.release(server.held[2]!);
  server.release(server.held[0]!);
  expect([(await client.answer())[0], (await client.answer())[0]]).toEqual([tags[2], tags[0]]);
  const done = server.letThrough();
  const [last] = [client.request(READ, 0, 1)];
  expect([(await client.answer())[0], (await client.answer())[0]]).toEqual([tags[1], last]);
  await client.take(1);
  done();
  client.request(FLUSH, 0, 0);
  while (server.held.length < 1) await new Promise((turn) => setImmediate(turn));
  expect(server.requests).toBe(5);
});

it.each([
  ['a request without its magic', Buffer.alloc(28), 'a request without its magic number'],
  [
    'a write that is too long',
    Buffer.from('25609513000000010000000000000001000000000000000080000000', 'hex'),
    'a write of 2147483648 bytes',
  ],
])('gives the client up at %s', async (_, bytes, why) => {
  const { server, client } = await ready(new Uint8Array(16));
  client.socket.write(bytes);
  await once(client.socket, 'close');
  expect(server.broken).toBe(why);
});

it('gives the client up at an option that is none', async () => {
  const { server, client } = await pair(new Uint8Array(16));
  client.socket.write(Buffer.alloc(20));
  await once(client.socket, 'close');
  expect(server.broken).toBe('the client ended the negotiation');
});

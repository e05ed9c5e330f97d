import { PassThrough } from 'node:stream';
import type { DebugProtocol } from '@vscode/debugprotocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TraceError } from '../../trace/errors.ts';
import { legacy, legacyPresent, legacyText, withWrongRead } from '../debug/testing/legacy.ts';
import { DebugAdapter, type OpenLaunch } from './adapter.ts';
import { Client } from './testing/client.ts';

interface Rig {
  client: Client;
  /** Resolves when the adapter has let go of everything. */
  done: Promise<string | undefined>;
  close: () => void;
}

function rig(open: OpenLaunch): Rig {
  const input = new PassThrough();
  const output = new PassThrough();
  const done = new Promise<string | undefined>((resolve) => {
    new DebugAdapter(input, output, open, resolve);
  });
  return { client: new Client(input, output), done, close: () => input.end() };
}

const launching =
  (text?: string): OpenLaunch =>
  () =>
    Promise.resolve({ title: 'blk-legacy', ...legacy(text) });

/** Through the handshake of an editor; stopped before the first access. */
async function launched(text?: string, args: object = {}): Promise<Rig> {
  const made = rig(launching(text));
  const { client } = made;
  await client.get('initialize', { adapterID: 'ioreq-trace' });
  await client.get('launch', { trace: 'anything', ...args });
  await client.event('initialized');
  await client.get('setExceptionBreakpoints', { filters: ['divergence'] });
  await client.get('configurationDone');
  return made;
}

async function variables(client: Client, reference: number): Promise<DebugProtocol.Variable[]> {
  const body = await client.get<DebugProtocol.VariablesResponse['body']>('variables', {
    variablesReference: reference,
  });
  return body.variables;
}

describe.skipIf(!legacyPresent())('the debug adapter', () => {
  it('shows the recording as a listing, stops at lines and steps both ways', async () => {
    const { client, done, close } = await launched();
    expect(await client.event('stopped')).toMatchObject({ reason: 'entry', threadId: 1 });
    const { content } = await client.get<{ content: string }>('source', { sourceReference: 1 });
    const lines = content.split('\n');
    expect(lines[0]).toMatch(/^ +0 R blk0 +MagicValue/);
    expect(lines[158]).toBe('the end of the recording');
    const notify = lines.findIndex((line) => line.includes('QueueNotify')) + 1;
    const body = await client.get<DebugProtocol.SetBreakpointsResponse['body']>('setBreakpoints', {
      source: { sourceReference: 1 },
      breakpoints: [
        { line: notify },
        { line: 9999 },
        { line: 2, condition: 'valu' },
        { line: 3, condition: 'value == 7' },
      ],
    });
    expect(body.breakpoints.map(({ verified }) => verified)).toEqual([true, false, false, true]);
    const { id } = body.breakpoints[0]!;
    expect(await client.move('continue')).toMatchObject({ reason: 'breakpoint', hitBreakpointIds: [id] });
    expect(await client.line()).toBe(notify);
    await client.move('next');
    expect(await client.line()).toBe(notify + 1);
    await client.move('stepBack');
    await client.move('stepBack');
    expect(await client.line()).toBe(notify - 1);
    expect(await client.move('continue')).toMatchObject({ reason: 'breakpoint' });
    expect(await client.move('reverseContinue')).toMatchObject({ reason: 'entry' });
    expect(await client.line()).toBe(1);
    const { targets } = await client.get<{ targets: { id: number }[] }>('gotoTargets', { line: 50 });
    await client.move('goto', { threadId: 1, targetId: targets[0]!.id });
    expect(await client.line()).toBe(50);
    await client.move('stepOut');
    expect(await client.line()).toBe(notify);
    await client.move('restart', {});
    expect(await client.line()).toBe(1);
    close();
    await done;
  });

  it('shows devices, queues and requests as variables, and memory', async () => {
    const { client, done } = await launched();
    const set = await client.get<DebugProtocol.SetBreakpointsResponse['body']>('setFunctionBreakpoints', {
      breakpoints: [{ name: 'blk0.QueueNotify', condition: 'type == write' }, { name: 'blk7.QueueNotify' }],
    });
    expect(set.breakpoints.map(({ verified }) => verified)).toEqual([true, false]);
    expect(set.breakpoints[1]!.message).toContain('blk0');
    await client.event('stopped');
    expect(await client.move('continue')).toMatchObject({ reason: 'function breakpoint' });
    const { scopes } = await client.get<DebugProtocol.ScopesResponse['body']>('scopes', { frameId: 1 });
    expect(scopes.map(({ name }) => name)).toEqual(['Next access', 'Devices', 'Divergences']);
    const access = await variables(client, scopes[0]!.variablesReference);
    expect(access.find(({ name }) => name === 'register')?.value).toBe('QueueNotify');
    const chain = access.find(({ name }) => name.startsWith('chain'))!;
    expect(chain.value).toMatch(/^write sector \d+/);
    const [header] = await variables(client, chain.variablesReference);
    const { data } = await client.get<{ data: string }>('readMemory', {
      memoryReference: header!.memoryReference,
      count: 16,
    });
    // Type 1: a write.
    expect(Buffer.from(data, 'base64').readUInt32LE(0)).toBe(1);
    expect(await client.get('readMemory', { memoryReference: '0x0', count: 16 })).toMatchObject({
      unreadableBytes: 16,
    });
    const [device] = await variables(client, scopes[1]!.variablesReference);
    expect(device?.value).toContain('virtio-blk, legacy');
    const fields = await variables(client, device!.variablesReference);
    const queue = fields.find(({ name }) => name === 'queue 0')!;
    expect((await variables(client, queue.variablesReference)).map(({ name }) => name)).toContain('used.idx');
    await client.get('disconnect');
    await done;
  });

  it('tells why a movement of the console stopped as it does of its own', async () => {
    const { client, done } = await launched(withWrongRead(legacyText(), 196));
    await client.event('stopped');
    const { result } = await client.get<{ result: string }>('evaluate', {
      expression: 'continue',
      context: 'repl',
    });
    expect(result).toContain('step 196');
    expect(await client.event('stopped')).toMatchObject({ reason: 'exception' });
    const info = await client.get<{ description: string }>('exceptionInfo', { threadId: 1 });
    expect(info.description).toContain('step 196: blk 0 InterruptStatus');
    await client.get('evaluate', { expression: 'back 3', context: 'repl' });
    expect(await client.event('stopped')).toMatchObject({ reason: 'step' });
    await client.get('disconnect');
    await done;
  });

  it('stops at a divergence, tells it, and ends with exit code 1', async () => {
    const { client, done } = await launched(withWrongRead(legacyText(), 196), { stopOnEntry: false });
    expect(await client.event('stopped')).toMatchObject({ reason: 'exception' });
    const info = await client.get<{ description: string }>('exceptionInfo', { threadId: 1 });
    expect(info.description).toContain('step 196: blk 0 InterruptStatus');
    expect(await variables(client, 3)).toHaveLength(1);
    expect(await client.move('continue')).toMatchObject({
      description: expect.stringContaining('the end') as string,
    });
    await client.get('continue', { threadId: 1 });
    expect(await client.event('exited')).toEqual({ exitCode: 1 });
    await client.event('terminated');
    await client.get('disconnect');
    await done;
  });

  it("takes the prompt's commands in the console, and only looking ones elsewhere", async () => {
    const { client, done } = await launched();
    await client.event('stopped');
    expect(await client.get('evaluate', { expression: 'step 2', context: 'repl' })).toMatchObject({
      result: expect.stringMatching(/^=> 2 R blk0/) as string,
    });
    await client.event('stopped');
    expect(await client.line()).toBe(3);
    expect(await client.get('evaluate', { expression: 'where', context: 'watch' })).toHaveProperty('result');
    expect(await client.ask('evaluate', { expression: 'step', context: 'watch' })).toMatchObject({
      success: false,
    });
    expect(await client.ask('evaluate', { expression: 'fly', context: 'repl' })).toMatchObject({
      success: false,
      message: expect.stringContaining('there is no command fly') as string,
    });
    const { targets } = await client.get<{ targets: { label: string }[] }>('completions', {
      text: 'di',
      column: 3,
    });
    expect(targets.map(({ label }) => label)).toEqual(['divergence', 'diff', 'divergences']);
    expect(await client.line()).toBe(3);
    await client.get('terminate');
    await done;
  });
});

const never: OpenLaunch = () =>
  Promise.reject(new TraceError('E_NOT_FOUND', 'no such trace', { source: 'x' }));

describe('an adapter and editors that do not behave', () => {
  it('refuses what comes before a launch, and a launch that fails, in words', async () => {
    const { client, done, close } = rig(never);
    for (const command of [
      'continue',
      'stackTrace',
      'variables',
      'readMemory',
      'evaluate',
      'source',
      'stepBack',
    ])
      expect(await client.ask(command, { line: 1 })).toMatchObject({ success: false });
    expect(await client.ask('launch', {})).toMatchObject({ success: false, message: 'x: no such trace' });
    expect(await client.ask('launch', 'text')).toMatchObject({ success: false });
    expect(await client.ask('fly')).toMatchObject({ success: false, message: 'there is no request fly' });
    expect(await client.ask('__proto__')).toMatchObject({ success: false });
    close();
    await done;
  });

  it.each([
    'nonsense\r\n\r\n',
    'Content-Length: 99999999999\r\n\r\n',
    'Content-Length: 2\r\n\r\n[]',
    'Content-Length: 4\r\n\r\nnull',
    'x'.repeat(10_000),
    'Content-Length: 3\r\n\r\n{,}',
  ])('ends at what is no message: %j', async (text) => {
    const { client, done } = rig(never);
    client.raw(text);
    expect(await done).toMatch(/header|no request|JSON/);
  });

  it('understands messages however they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 12 }), async (cuts) => {
        const { client, done, close } = rig(never);
        const piecemeal = async (text: string): Promise<void> => {
          let at = 0;
          for (const cut of [...cuts, text.length]) {
            client.raw(text.slice(at, at + cut));
            at += cut;
            await new Promise((resolve) => setImmediate(resolve));
          }
        };
        const [threads, fly] = [client.expect('threads'), client.expect('fly')];
        await piecemeal(threads.text + fly.text);
        expect(await threads.response).toMatchObject({ success: true });
        expect(await fly.response).toMatchObject({ success: false });
        close();
        await done;
      }),
      { numRuns: 20 },
    );
  });
});

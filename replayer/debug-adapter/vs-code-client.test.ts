import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DebugClient } from '@vscode/debugadapter-testsupport';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { afterAll, describe, expect, it } from 'vitest';
import { legacyPresent } from '../debug/testing/legacy.ts';
import { shared } from '../testing/recordings.ts';

const MAIN = join(import.meta.dirname, '../../dist/cli/main.js');
const built = existsSync(MAIN);
if (!built) console.warn('SKIPPED: VS Code’s client with trace debug-adapter: npm run build makes it');

const folder = mkdtempSync(join(tmpdir(), 'vs-code-client-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** The client that VS Code's authors test debug adapters with, in place of the editor. */
describe.skipIf(!built || !legacyPresent())('VS Code’s own test client', () => {
  it('launches a replay, stops, steps there and back and reads the state', async () => {
    const trace = join(folder, 'blk-legacy.jsonl');
    const disk = join(folder, 'disk.img');
    const adapter = join(folder, 'adapter.sh');
    writeFileSync(trace, shared('xen-arm-replay/blk-legacy.jsonl'));
    writeFileSync(disk, shared('xen-arm-replay/disk-start.img'));
    // The client starts a program with one argument at most.
    writeFileSync(adapter, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' debug-adapter\n`);
    chmodSync(adapter, 0o755);
    const client = new DebugClient(adapter, '', 'ioreq-replay');
    client.defaultTimeout = 60_000;
    await client.start();
    try {
      const ready = client.waitForEvent('initialized').then(async () => {
        const { body } = await client.setFunctionBreakpointsRequest({
          breakpoints: [{ name: 'blk0.QueueNotify' }],
        });
        expect(body.breakpoints).toMatchObject([{ verified: true }]);
        await client.configurationDoneRequest();
      });
      const launch = {
        trace,
        disks: [`0=${disk}`],
        model: 'builtin',
      } as DebugProtocol.LaunchRequestArguments;
      await Promise.all([ready, client.launch(launch), client.waitForEvent('stopped')]);
      const [thread] = (await client.threadsRequest()).body.threads;
      const threadId = thread!.id;

      const frame = async (): Promise<DebugProtocol.StackFrame> => {
        const [top] = (await client.stackTraceRequest({ threadId })).body.stackFrames;
        return top!;
      };
      const move = async (request: () => Promise<unknown>): Promise<DebugProtocol.StackFrame> => {
        await Promise.all([client.waitForEvent('stopped'), request()]);
        return frame();
      };
      await move(() => client.nextRequest({ threadId }));
      const kick = await move(() => client.continueRequest({ threadId }));
      expect(kick.name).toContain('blk0 QueueNotify');
      const before = await move(() => client.stepBackRequest({ threadId }));
      expect(before.line).toBe(kick.line - 1);
      const again = await move(() => client.nextRequest({ threadId }));
      expect(again.name).toBe(kick.name);

      const { scopes } = (await client.scopesRequest({ frameId: again.id })).body;
      expect(scopes.map(({ name }) => name)).toEqual(['Next access', 'Devices', 'Divergences']);
      const { variables } = (
        await client.variablesRequest({ variablesReference: scopes[0]!.variablesReference })
      ).body;
      expect(variables.map(({ name, value }) => `${name}=${value}`)).toContain('register=QueueNotify');
      const { content } = (
        await client.sourceRequest({ sourceReference: again.source!.sourceReference!, source: again.source! })
      ).body;
      expect(content.split('\n')[again.line - 1]).toContain('QueueNotify');
      const { result } = (await client.evaluateRequest({ expression: 'finish', context: 'repl' })).body;
      expect(result).toBe('equal to the recording');
      const back = await move(() => client.reverseContinueRequest({ threadId }));
      expect(back.name).toContain('QueueNotify');
      expect(back.line).toBeGreaterThan(kick.line);
    } finally {
      await client.stop();
    }
  }, 120_000);
});

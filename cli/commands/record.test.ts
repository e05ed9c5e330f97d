import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { HOOKS } from '../../collector/probes/hooks.ts';
import { planRecording } from '../../collector/probes/plan.ts';
import { thisHost, whyNoTracing } from '../../fixtures/this-host.ts';
import { planText } from '../output/plan-text.ts';
import { styleFor } from '../output/style.ts';
import { trace } from '../testing/command-line.ts';

const work = mkdtempSync(join(tmpdir(), 'ioreq-record-cli-'));
const out = join(work, 'out');
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

const isDom0 = existsSync('/proc/xen/capabilities') || existsSync('/sys/hypervisor/type');
if (isDom0) console.warn('SKIPPED: what `trace record` says where there is no Xen: this machine has one');
const noTracing = whyNoTracing();
if (noTracing !== undefined) console.warn(`SKIPPED: trace record --cleanup here: ${noTracing}`);

describe('trace record', () => {
  it.each<[string, string[]]>([
    ['which domain\\?', []],
    ['--trigger needs --flight SIZE', ['--domid', '1', '--trigger', 'mmio > 2ms']],
    ["trigger 'mmio' compares with nothing", ['--domid', '1', '--flight', '64M', '--trigger', 'mmio']],
    ["trigger 'disk > 1ms' watches nothing known", ['--domid', '1', '--trigger', 'disk > 1ms']],
    ['--memory and --flight exclude each other', ['--domid', '1', '--memory', '--flight', '64M']],
    [
      '--memory records in Dom0 itself, not over ssh',
      ['--domid', '1', '--memory', '--host', 'ssh://nowhere.invalid'],
    ],
    ['--redact goes with --memory', ['--domid', '1', '--redact']],
    ['--redact goes with --memory', ['--domid', '1', '--redact', '--memory=payload']],
    ["size '64MB' has no known unit", ['--domid', '1', '--flight', '64MB']],
    ['.*uprobe is none of ioreq, evtchn', ['--domid', '1', '--with', 'uprobe']],
    ['.*--buffer', ['--domid', '1', '--buffer', '1']],
    ['.*--duration', ['--domid', '1', '--duration', 'soon']],
    ['.*--count', ['--domid', '1', '--count', '0']],
    ['the host to reach is not written as a host is', ['--domid', '1', '--host', 'root@board']],
    ["unknown option '--uprobes'", ['--uprobes']],
  ])('refuses what is written wrongly: %s', async (message, args) => {
    const { code, err, out: printed } = await trace('record', ...args, '-o', out);
    expect([code, printed]).toEqual([2, '']);
    expect(err).toMatch(new RegExp(`^trace: E_USAGE: ${message}.*\n$`));
    expect(existsSync(out)).toBe(false);
  });

  it.skipIf(isDom0)(
    'says in one line that this is no Dom0, whatever it was to do, and does nothing',
    async () => {
      for (const more of [[], ['--dry-run'], ['--flight', '64M', '--trigger', 'mmio > 2ms']]) {
        const { code, err, out: printed } = await trace('record', '--domid', '1', '-o', out, ...more);
        expect([code, printed]).toEqual([6, '']);
        expect(err).toMatch(
          /^trace: E_HOST: this host (is no Dom0 that can be recorded|tells nothing of Xen).*\n$/,
        );
        expect(readdirSync(work)).toEqual([]);
      }
    },
  );

  it.skipIf(noTracing !== undefined)('cleans up where nothing is left', async () => {
    // Another recorder of this machine may have died meanwhile: then it is removed, and the next time there is none.
    await trace('record', '--cleanup');
    const { code, err, out: printed } = await trace('record', '--cleanup');
    expect([code, err]).toEqual([0, '']);
    expect(printed).toMatch(/^nothing was left by dead recorders\n$|^removed: ioreqtrace_/);
  });

  it('prints a plan with every change, its value and how it is undone', () => {
    const view = thisHost();
    view.domain.name = 'g1\u001b[31m';
    const plan = planRecording(view, {
      hooks: new Set(HOOKS),
      bufferKib: 64,
      bufferMaxKib: 64,
      xenBufferPages: 16,
    });
    const text = planText(view, plan, styleFor(false, {}));
    expect(text).not.toContain('\u001b');
    const lines = text.split('\n');
    const changes = lines.slice(lines.indexOf('PID and START: of the shell that does it.') + 2);
    expect(changes.length % 3).toBe(0);
    for (let n = 0; n < changes.length; n += 3) {
      expect(changes[n]).toMatch(/^\//);
      expect(changes[n + 1]).toMatch(/^ {4}\S/);
      expect(changes[n + 2]).toMatch(/^ {4}undone: \S/);
    }
    expect(text).toContain('not to be had');
  });
});

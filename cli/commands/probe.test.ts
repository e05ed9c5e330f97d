import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { parseSurvey, viewOf } from '../../collector/live-host/discover.ts';
import type { Sections } from '../../collector/live-host/sections.ts';
import { parseSections } from '../../collector/live-host/sections.ts';
import { HOOKS } from '../../collector/probes/hooks.ts';
import { planRecording } from '../../collector/probes/plan.ts';
import type { ProbeRow } from '../output/probe-table.ts';
import type { PointsLook } from '../output/probe-table.ts';
import { domainRows, hostRows, probeTable, recorderRows, viewRows } from '../output/probe-table.ts';
import { styleFor } from '../output/style.ts';
import { trace } from '../testing/command-line.ts';

const ANSWER = readFileSync(new URL('../../fixtures/live-host/answer.txt', import.meta.url), 'utf8');
const REAL = parseSections(ANSWER.replaceAll('\u2400', '\0'), 'MARKER');

const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-probe-'));
const path = process.env['PATH'];
afterEach(() => {
  process.env['PATH'] = path;
});
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

/** All rows about domain 1 of a host that answered so. */
function rowsOf(sections: Sections): ProbeRow[] {
  const survey = parseSurvey(sections);
  const view = viewOf(survey, '1');
  const plan = planRecording(view, {
    hooks: new Set(HOOKS),
    bufferKib: 1,
    bufferMaxKib: 1,
    xenBufferPages: 1,
  });
  return [...hostRows('board', survey), ...viewRows(view, plan), ...recorderRows([])];
}

function changed(change: Record<string, string>): Map<string, ProbeRow> {
  const rows = rowsOf(new Map([...REAL, ...Object.entries(change)]));
  return new Map(rows.map((row) => [row.what, row]));
}

const PLAIN = styleFor(false, {});

describe('the table of a real host', () => {
  it.each<[PointsLook, string, RegExp]>([
    [undefined, 'open', /a recording tells, or --xentrace/],
    ['all', 'yes', /are exact$/],
    ['some', 'partly', /clocks are estimated/],
    ['none', 'no', /stages in Xen are not exact, interrupt injection is not seen/],
    [{ why: 'xentrace runs already' }, 'open', /^xentrace runs already$/],
  ])('tells of the Arm trace points: %o', (points, state, why) => {
    const found = hostRows('board', parseSurvey(REAL), points).find(
      ({ what }) => what === 'Arm trace points',
    );
    expect(found?.state).toBe(state);
    expect(found?.why).toMatch(why);
  });

  it('says what there is', () => {
    const text = probeTable(rowsOf(REAL), PLAIN);
    expect(text).toMatch(
      /^what +state +why, what to do\nhost +yes +board\nroot +yes\nXen +yes +4\.20\.4-pre, 2 physical CPUs$/m,
    );
    expect(text).toMatch(/^counter frequency +yes +62\.5 MHz$/m);
    expect(text).toMatch(/^trace clock +yes +mono_raw$/m);
    expect(text).toMatch(/^xentrace +yes +\S+xentrace; buffers of 256 pages a CPU/m);
    expect(text).toMatch(/^domain 1 +yes +g1, 2 vCPUs$/m);
    expect(text).toMatch(
      /^device model \d+ +yes +qemu-xen \(qemu\), known by command line; \d threads; ioreq page 0x\w+; QMP \S+; log \S+$/m,
    );
    expect(text).toMatch(/^device blk +yes +0x02000200, SPI 34, /m);
    expect(text).toMatch(/^hook ioreq +yes /m);
    expect(text).toMatch(/^hook irqfd +no .*CONFIG_XEN_PRIVCMD_EVENTFD/m);
    expect(text).toMatch(/^hook qemu +yes /m);
    expect(text).not.toMatch(/ $/m);
    expect(domainRows(parseSurvey(REAL))).toEqual([
      { what: 'domain 1', state: 'yes', why: 'g1, 2 vCPUs, blocked' },
    ]);
  });

  it.each([
    ['xentrace', { running: '77 xentrace' }, 'no', /process 77/],
    ['xentrace', { 'xen-config': '# CONFIG_TRACEBUFFER is not set' }, 'no', /CONFIG_TRACEBUFFER/],
    ['trace clock', { trace_clock: '[local] global mono' }, 'partly', /mono/],
    ['tracefs', { tracefs: '' }, 'no', /mount -t tracefs/],
    ['lockdown', { lockdown: 'none integrity [confidentiality]' }, 'no', /until the next boot/],
    ['root', { uid: '1000' }, 'no', /run as root/],
    ['hook ioreq', { kallsyms: '' }, 'no', /evtchn_read/],
    ['hook evtchn', { blacklist: '0x1-0x2\tevtchn_interrupt' }, 'partly', /evtchn_interrupt/],
    ['hook xen', { running: '77 xentrace' }, 'no', /77/],
    ['devices', { xenstore: '' }, 'open', /while recording/],
    ['counter frequency', { 'xl-info': '', 'xl-dmesg': '', arch_timer: '' }, 'no', /device tree/],
    ['Xen security', { 'xl-dmesg': '(XEN) Flask:  Initializing.' }, 'open', /policy/],
    ['hook points', {}, 'open', /XEN-PATCH/],
    ['clock constant', {}, 'no', /no tk_fast_raw \(CONFIG_KALLSYMS_ALL\): .* by estimate/],
    ['clock constant', { kallsyms: '0 d tk_fast_raw\n0 t uptime_proc_show\n' }, 'yes', /exactly$/],
  ])('says what there is not: %s', (what, change, state, why) => {
    const row = changed(change).get(what);
    expect(row?.state).toBe(state);
    expect(row?.why).toMatch(why);
  });

  it('escapes what the host says, and colours only what stands out', () => {
    const rows: ProbeRow[] = [
      { what: 'domain 1', state: 'no', why: 'g\u001b[2J\n1' },
      { what: 'x', state: 'yes', why: '' },
    ];
    expect(probeTable(rows, PLAIN).split('\n').slice(1)).toEqual([
      'domain 1  no     g\\x1b[2J\\x0a1',
      'x         yes',
    ]);
    const [, no, yes] = probeTable(rows, styleFor(true, {})).split('\n');
    expect(no).toMatch(/^\u001b\[31m/);
    expect(yes).not.toContain('\u001b');
    const dead = recorderRows([{ id: 'ioreqtrace_1_2', alive: false, has: ['kprobes'] }]);
    expect(dead.map(({ state }) => state)).toEqual(['yes', 'partly']);
    expect(dead[1]!.why).toMatch(/ioreqtrace_1_2 \(kprobes\); trace record --cleanup/);
  });
});

describe('trace probe', () => {
  it.skipIf(existsSync('/sys/hypervisor/version'))(
    'says on a machine without Xen that it is none',
    async () => {
      const { code, out, err } = await trace('probe', '--domid', '1');
      expect([code, err]).toEqual([6, '']);
      expect(out).toMatch(/^host +no +this host /m);
      expect(out).toMatch(/^Recording is not possible: E_HOST: /m);
    },
  );

  it('looks at a host by its tools', async () => {
    mkdirSync(join(work, 'bin'), { recursive: true });
    for (const [section, file] of [...REAL].filter(([name]) => /^(xl-|xenstore)/.test(name))) {
      writeFileSync(join(work, section), `${file}\n`);
    }
    const tools = {
      xl: `case "$*" in info) f=xl-info;; list) f=xl-list;; 'list -l') f=xl-list.json;; dmesg) f=xl-dmesg;; esac; cat "${work}/$f"`,
      'xenstore-ls': `cat "${work}/xenstore"`,
    };
    for (const [name, body] of Object.entries(tools)) {
      writeFileSync(join(work, 'bin', name), `#!/bin/sh\n${body}\n`);
      chmodSync(join(work, 'bin', name), 0o755);
    }
    process.env['PATH'] = `${join(work, 'bin')}:${path ?? ''}`;
    const host = await trace('probe');
    expect(host.out).toMatch(/^domain 1 +yes +g1, 2 vCPUs, blocked$/m);
    const none = await trace('probe', '--domain', 'g\u001b2');
    expect(none.code).toBe(6);
    expect(none.out).toMatch(/^domain +no +the host has no domain .*there are 1 \("g1"\)$/m);
    expect(none.out).not.toContain('\u001b');
    const json = JSON.parse((await trace('probe', '--domid', 'g1', '--json')).out) as Record<string, unknown>;
    // No device model runs on this machine.
    expect(json).toMatchObject({ possible: false, domain: { domid: 1, vcpus: 2 }, deviceModels: [] });
    expect(json['devices']).toHaveLength(3);
  });

  it('says in one row why a host cannot be reached', async () => {
    const { code, out } = await trace('probe', '--host', 'ssh://no-such-host.invalid');
    expect(code).toBe(6);
    expect(out).toMatch(/^host +no +there is no host no-such-host\.invalid/m);
    const json = JSON.parse(
      (await trace('probe', '--json', '--host', 'ssh://no-such-host.invalid')).out,
    ) as object;
    expect(json).toMatchObject({ possible: false, failure: { code: 'E_HOST' }, domains: [] });
  });

  it('refuses a wrong command line', async () => {
    expect((await trace('probe', '--host', 'board')).code).toBe(2);
    expect((await trace('probe', '--domid', '1', '--domain', 'g1')).err).toMatch(
      /^trace: E_USAGE: --domid and --domain/,
    );
  });
});

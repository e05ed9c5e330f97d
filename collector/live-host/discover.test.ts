import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { isTraceError } from '../../trace/errors.ts';
import { captureArchive, withCapture } from '../../fixtures/captures.ts';
import type { HostView } from '../probes/host-view.ts';
import { openTransport } from '../transports/index.ts';
import { deviceModelsOf, ioreqPages, parseProcesses, startOf } from './device-models.ts';
import type { HostSurvey } from './discover.ts';
import { discover, findTracefs, parseSurvey, surveyHost, viewOf } from './discover.ts';
import { parseDomains, pickDomain } from './domains.ts';
import { parseCpuList, parseSymbols } from './kernel-facts.ts';
import { parseQemuArgs } from './qemu-args.ts';
import { listRecorders, parseRecorders } from './recorders.ts';
import { HOST_SCRIPT } from './script.ts';
import { parseSections, readSections } from './sections.ts';
import { portsOf } from './xen-facts.ts';
import { parseStore, virtioDevices } from './xenstore.ts';

/** What a real host (Xen 4.20, Debian's Linux 6.12, one guest) answered, NUL shown as U+2400, long parts cut. */
const ANSWER = readFileSync(new URL('../../fixtures/live-host/answer.txt', import.meta.url), 'utf8');
const REAL = parseSections(ANSWER.replaceAll('\u2400', '\0'), 'MARKER');

function survey(change: Record<string, string | undefined> = {}): HostSurvey {
  const sections = new Map(REAL);
  for (const [name, text] of Object.entries(change)) {
    if (text === undefined) sections.delete(name);
    else sections.set(name, text);
  }
  return parseSurvey(sections);
}

function codeOf(what: () => unknown): string {
  try {
    what();
  } catch (error) {
    if (isTraceError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'none';
}

describe('a real host', () => {
  it('is read whole', () => {
    const view = viewOf(survey(), '1');
    const [model, ...others] = view.deviceModels;
    expect(view).toMatchObject({
      domain: { domid: 1, name: 'g1', vcpus: 2 },
      kernel: { release: '6.12.107+deb13-arm64', machine: 'aarch64', cpus: [0, 1], pageBytes: 4096 },
      xen: { version: '4.20.4-pre', counterHz: 62_500_000, cpus: 2 },
      tracefs: {
        path: '/sys/kernel/tracing',
        instances: true,
        kprobes: true,
        pageBytes: 4096,
        bufferKib: 1408,
      },
      xentrace: { path: '/usr/lib/xen-4.20/bin/xentrace', running: [], bufferPages: 256 },
      devices: [
        { kind: 'blk', base: 0x2000000, spi: 33, backend: '/local/domain/0/backend/virtio_disk/1/51712' },
        { kind: 'blk', base: 0x2000200, spi: 34, backend: '/local/domain/0/backend/virtio_disk/1/51728' },
        { kind: 'unknown', base: 0x2000400, spi: 35, backend: '/local/domain/0/backend/virtio/1/0' },
      ],
      notes: ['no lsevtchn: event-channel ports are not known beforehand'],
    });
    expect(others).toEqual([]);
    expect(model).toMatchObject({
      name: 'qemu-xen',
      kind: 'qemu',
      by: 'command line',
      irqs: [23, 24],
      qmpSocket: '/run/guests/g1/qmp.sock',
      traceLog: '/tmp/qemu-trace-g1.log',
    });
    expect(model!.ioreqPages).toHaveLength(1);
    expect(model!.startTime).toMatch(/^\d+$/);
    expect(model!.threads.length).toBeGreaterThan(1);
    expect(model!.threads[0]).toEqual({ tid: model!.pid, name: 'qemu-xen' });
    expect(view.tracefs.clocks).toContain('mono_raw');
    expect([...view.tracefs.events]).toContain('sched/sched_waking');
    expect(view.tracefs.refused).toBeUndefined();
    expect(view.symbols.get('evtchn_read')).toEqual({ count: 1, module: 'xen_evtchn' });
    expect(view.symbols.get('HYPERVISOR_dm_op')?.refused).toBe(true);
    expect(view.symbols.has('irqfd_wakeup')).toBe(false);
    expect([...view.texts.keys()]).toEqual([
      'xl-info.txt',
      'xl-list.json',
      'xl-dmesg.txt',
      'xenstore.txt',
      'interrupts-before.txt',
    ]);
  });

  it('is read as far as the tools that are there tell', () => {
    const noXl = survey({
      xl: undefined,
      'xl-info': undefined,
      'xl-list': undefined,
      'xl-list.json': undefined,
      'xl-dmesg': undefined,
    });
    const view = viewOf(noXl, 'g1');
    expect(view).toMatchObject({
      domain: { domid: 1, vcpus: 2 },
      xen: { version: '4.20.4-pre', counterHz: 62_500_000 },
    });
    expect(view.devices).toHaveLength(3);
    expect(view.notes[0]).toMatch(/^no xl:/);
    expect(viewOf(survey({ timer: ' 01 6e 36 00', 'xl-info': '', 'xl-dmesg': '' }), '1').xen.counterHz).toBe(
      24_000_000,
    );
    const noStore = viewOf(survey({ xenstore: undefined }), 'g1');
    expect(noStore).toMatchObject({ domain: { domid: 1, vcpus: 2 }, devices: [] });
    expect(noStore.notes).toContain('no xenstore-ls: devices (base, SPI, kind) are not known beforehand');
    expect(survey({ 'xl-info': 'xencall: error: Permission denied' }).notes[0]).toBe(
      'xl info fails: xencall: error: Permission denied',
    );
  });

  it.each([
    [{ tracefs: '' }, /tracefs is not mounted: mount -t tracefs/],
    [{ lockdown: 'none integrity [confidentiality]' }, /locked down/],
    [{ uid: '1000', tracefs: '/sys/kernel/tracing' }, /root only/],
    [{ tracefs: '/t\ninstances exists\ninstances writable' }, /no kprobe events/],
    [{ tracefs: '/t\ninstances exists\nkprobe_events exists' }, /cannot be written/],
  ])('says why tracefs cannot be used: %j', (change, why) => {
    expect(survey(change).tracefs.refused).toMatch(why);
  });

  it('names the domains that there are', () => {
    expect(codeOf(() => viewOf(survey(), 'g2'))).toBe(
      'E_NO_DOMAIN: the host has no domain "g2"; there are 1 ("g1")',
    );
    expect(codeOf(() => viewOf(survey(), '0'))).toMatch(/^E_NO_DOMAIN: domain 0 is the one that serves/);
    const dying = REAL.get('xl-list')!.replace('-b----', '----d-');
    expect(codeOf(() => viewOf(survey({ 'xl-list': dying }), '1'))).toMatch(
      /^E_NO_DOMAIN: domain 1 is dying/,
    );
  });
});

const CAPTURES = ['P1', 'A1', 'P3'].filter((name) => captureArchive(name) !== undefined);
if (CAPTURES.length < 3)
  console.warn(`SKIPPED: only ${CAPTURES.join(', ')} of the captures P1, A1, P3 are here`);

describe('captures of other hosts', () => {
  it.each(CAPTURES)('%s is read', async (capture) => {
    await withCapture(capture, (dir) => {
      const text = (name: string): string => readFileSync(join(dir, name), 'utf8').trimEnd();
      const [pid] = text('qemu-tids.txt').split(/\s/, 1);
      const sections = new Map([
        ['xl', 'xl'],
        ['xl-info', text('xl-info.txt')],
        ['xl-dmesg', text('xl-dmesg.txt')],
        ['xl-list.json', text('xl-list.json')],
        ['xenstore', text('xenstore.txt')],
        ['interrupts', text('interrupts-before.txt')],
        [`proc ${pid!} stat`, `${pid!} (qemu-xen) S ${'0 '.repeat(18)}4711 0`],
        [`proc ${pid!} comm`, 'qemu-xen'],
        [
          `proc ${pid!} cmdline`,
          text('qemu-cmdline.txt')
            .split(/[\s\0]+/)
            .join('\0'),
        ],
        [`proc ${pid!} maps`, text('qemu-maps.txt').replace(/^\d+:/gm, '')],
      ]);
      const parsed = parseSurvey(sections);
      const view = viewOf(parsed, String(parsed.domains.at(-1)!.domid));
      expect(view.xen).toMatchObject({ version: '4.20.4-pre', counterHz: 62_500_000 });
      expect(view.devices[0]).toMatchObject({ kind: 'blk', base: 0x2000000, spi: 33 });
      expect(view.deviceModels).toMatchObject([{ pid: Number(pid), startTime: '4711', by: 'command line' }]);
      expect(view.deviceModels[0]!.ioreqPages).toHaveLength(1);
      return Promise.resolve();
    });
  });
});

describe('device models', () => {
  const PAGE = 'ffff92776000-ffff92777000 rw-s 00000000 00:06 113    /dev/xen/privcmd';
  const processes = (list: { pid: number; comm: string; cmdline: string; maps?: string; fd?: string }[]) => {
    const sections = new Map<string, string>();
    for (const {
      pid,
      comm,
      cmdline,
      maps = PAGE,
      fd = 'lrwx------ 1 root root 64 Nov 22 15:31 9 -> /dev/xen/evtchn',
    } of list) {
      sections.set(`proc ${pid} stat`, `${pid} (a) b) S ${'0 '.repeat(18)}77 0`);
      sections.set(`proc ${pid} comm`, comm);
      sections.set(`proc ${pid} cmdline`, cmdline.split(' ').join('\0'));
      sections.set(`proc ${pid} cwd`, '/var/x');
      sections.set(`proc ${pid} fd`, fd);
      sections.set(`proc ${pid} maps`, maps);
    }
    return parseProcesses(sections);
  };
  const store = parseStore(
    '/local/domain/0/backend/virtio_disk/7/51712/type = "standalone"\n/local/domain/8/image/device-model-pid = "50"',
  );
  const models = (domid: number, list: Parameters<typeof processes>[0]) =>
    deviceModelsOf({ domid, name: 'bob' }, processes(list), store, '', 4096).map(({ pid, kind, by }) => [
      pid,
      kind,
      by,
    ]);

  it('are all found, each for the domains that it serves', () => {
    const list = [
      { pid: 10, comm: 'qemu-xen', cmdline: 'qemu-xen -xen-domid 7 -D log' },
      { pid: 20, comm: 'virtio-disk', cmdline: './virtio-disk' },
      { pid: 30, comm: 'xen-vhost-front', cmdline: 'xen-vhost-frontend --socket-path /x' },
      { pid: 40, comm: 'other', cmdline: 'other --domid=9' },
      { pid: 50, comm: 'emulator', cmdline: 'emulator' },
      { pid: 60, comm: 'xenconsoled', cmdline: 'xenconsoled' },
      { pid: 70, comm: 'mapper', cmdline: 'mapper', fd: '' },
      { pid: 80, comm: 'foo', cmdline: 'foo --domain bob' },
    ];
    expect(models(7, list)).toEqual([
      [10, 'qemu', 'command line'],
      [20, 'virtio-disk', 'xenstore'],
      [30, 'vhost-user', 'assumed'],
      [50, 'other', 'assumed'],
      [80, 'other', 'command line'],
    ]);
    expect(models(8, list).map(([pid, , by]) => [pid, by])).toEqual([
      [30, 'assumed'],
      [50, 'xenstore'],
      [80, 'command line'],
    ]);
  });

  it('map the ioreq page as one page, or as the second of two', () => {
    const large = PAGE.replace('92777000', '92976000');
    expect(ioreqPages(`${large}\n${PAGE}\n`, 4096)).toEqual(['0xffff92776000']);
    expect(ioreqPages(PAGE.replace('92777000', '92778000'), 4096)).toEqual(['0xffff92777000']);
    expect(ioreqPages(PAGE.replace('rw-s', 'r--s'), 4096)).toEqual([]);
    expect(ioreqPages(PAGE.replace('92777000', '92786000'), 65536)).toEqual(['0xffff92776000']);
    expect(startOf('12 (a) 1 2 (b) S 1')).toBeUndefined();
  });

  it('say on their command line where they listen and log', () => {
    const parse = (line: string) => parseQemuArgs(line.split(' '));
    expect(parse('q -xen-domid 5 -qmp unix:/a,,b,server=on -trace events=/e,file=/t -D /d')).toEqual({
      domid: 5,
      qmpSocket: '/a,b',
      traceLog: '/d',
    });
    expect(
      parse(
        'q -chardev socket,id=libxl-cmd,path=/run/xen/qmp-libxl-5,server=on -mon chardev=libxl-cmd,mode=control ' +
          '-chardev socket,id=s,path=/run/xen/stat -mon chardev=s,mode=control -xen-domid x',
      ),
    ).toEqual({ qmpSocket: '/run/xen/stat' });
    expect(parse('q --trace file=/t -monitor unix:/m')).toEqual({ traceLog: '/t' });
    expect(parse('q -qmp tcp:localhost:4444 -D')).toEqual({});
  });
});

describe('parts of the answer', () => {
  it('cannot be forged by content', () => {
    const sections = parseSections('x\n@@m a\n@@n uid\n0\n\n@@m uid\n1000\n\n@@m uid\n0\n@@m end\n', 'm');
    expect([...sections]).toEqual([
      ['a', '@@n uid\n0\n'.trimEnd()],
      ['uid', '1000'],
      ['end', ''],
    ]);
  });

  it('give names whatever is in them', () => {
    const hostile = 'a"b\\c\n0 1 1 1 ------ 0.0\u001b[31m';
    const json = JSON.stringify([
      { domid: 3, config: { c_info: { name: hostile }, b_info: { max_vcpus: 4 } } },
    ]);
    const list = `Name ID Mem VCPUs State Time(s)\n${hostile}  3 256 4 -b---- 1.0\nDomain 0 x 0 1 2 r----- 1.0`;
    const domains = parseDomains(list, json, new Map());
    expect(domains.find(({ domid }) => domid === 3)).toMatchObject({
      name: hostile,
      vcpus: 4,
      state: '-b----',
    });
    expect(pickDomain(domains, hostile).domid).toBe(3);
    expect(parseStore('/a = "x\\"y\\\\z\\n\\033"  (n0)\n/b = "\n/c =  "1"').get('/a')).toBe('x"y\\z\n\u001b');
    expect(codeOf(() => pickDomain(parseDomains(undefined, 'no json', new Map()), 'x'))).toMatch(
      /no guest runs/,
    );
  });

  it('tell symbols apart', () => {
    const symbols = parseSymbols(
      '0000000000000000 t evtchn_read\t[xen_evtchn]\n0000000000000000 t evtchn_read\t[other]\n' +
        'ffff t privcmd_ioctl [xen_privcmd]\nffff t privcmd_ioctl_dm_op.isra.0 [xen_privcmd]\n' +
        'ffff t irqfd_inject\nffff t ioeventfd_interrupt [xen_privcmd]\nffff t irqfd_inject [xen_privcmd]\n' +
        'ffff d evtchn_write\nffff T evtchn_interrupt\nffff t evtchn_interrupt.cold\n' +
        'ffff d tk_fast_raw\nffff t uptime_proc_show\n',
      '0xffff800080010000-0xffff800080010100\tevtchn_interrupt\n',
    );
    // A variable that a probe reads counts, any other does not.
    expect([
      symbols.has('tk_fast_raw'),
      symbols.has('uptime_proc_show'),
      symbols.has('evtchn_write'),
    ]).toEqual([true, true, false]);
    expect(symbols.get('evtchn_read')).toEqual({ count: 2, module: 'xen_evtchn' });
    expect(symbols.get('privcmd_ioctl_dm_op')).toEqual({
      count: 1,
      module: 'xen_privcmd',
      symbol: 'privcmd_ioctl_dm_op.isra.0',
    });
    expect(symbols.get('irqfd_inject')).toEqual({ count: 1, module: 'xen_privcmd' });
    expect(symbols.get('evtchn_interrupt')).toMatchObject({ count: 1, refused: true });
    expect(symbols.has('evtchn_write')).toBe(false);
  });

  it('list devices, ports and CPUs', () => {
    const path = '/local/domain/0/backend/virtio/5';
    const text = `${path}/1/base = "0x2000200"\n${path}/1/irq = "34"\n${path}/1/type = "virtio,device1a"\n${path}/0/base = "0"\n${path.replace('/5', '/55')}/0/base = "0x2000000"\n${path}/2/base = "1e400"`;
    expect(virtioDevices(parseStore(text), 5)).toEqual([
      { kind: 'fs', base: 0x2000200, spi: 34, backend: `${path}/1` },
    ]);
    const ports =
      '   7: VCPU 1: Interdomain (Connected) - Remote Domain 5, Port 3\n   8: VCPU 0: Interdomain (Waiting connection) - Remote Domain 5\n   9: VCPU 1: Interdomain (Connected) - Remote Domain 55, Port 3';
    expect(portsOf(ports, 5)).toEqual([7]);
    expect(portsOf(undefined, 5)).toBeUndefined();
    expect(parseCpuList('0-2,5\n')).toEqual([0, 1, 2, 5]);
  });

  it('name recorders, living and dead', () => {
    const sections = parseSections(
      `\n@@m instances\nioreqtrace_12_900\nioreqtrace_13_5\n\n@@m probes\nioreqtrace_12_900\nioreqtrace_12_900\n` +
        `\n@@m run\nioreqtrace_12_900\nioreqtrace_14_1;rm\n\n@@m stats\n12 (s) h) S ${'0 '.repeat(18)}900 1\n13 (sh) S ${'0 '.repeat(18)}6 1\n\n@@m end\n`,
      'm',
    );
    expect(parseRecorders(sections)).toEqual([
      { id: 'ioreqtrace_12_900', alive: true, has: ['trace instance', 'kprobes', 'folder in /run'] },
      { id: 'ioreqtrace_13_5', alive: false, has: ['trace instance'] },
    ]);
  });

  it('never throw anything but what is documented, whatever the host answers', () => {
    const names = [...REAL.keys()];
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.string({ maxLength: 300 }),
      fc
        .constantFrom(...REAL.values())
        .chain((whole) =>
          fc
            .nat(whole.length)
            .chain((at) =>
              fc.string({ maxLength: 8 }).map((put) => whole.slice(0, at) + put + whole.slice(at + 3)),
            ),
        ),
    );
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...names), text),
        fc.constantFrom('1', 'g1', 'x'),
        (change, domain) => {
          let view: HostView | undefined;
          try {
            view = viewOf(survey(change), domain);
          } catch (error) {
            if (!isTraceError(error)) throw error;
          }
          for (const model of view?.deviceModels ?? []) {
            for (const page of model.ioreqPages) expect(page).toMatch(/^0x[0-9a-f]+$/);
          }
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('the script on this machine', () => {
  const work = mkdtempSync(join(tmpdir(), 'ioreq-discover-'));
  afterAll(() => {
    rmSync(work, { recursive: true, force: true });
  });

  it('runs to its end, with whatever shell is sh here, and with busybox', async () => {
    const host = await openTransport(undefined);
    const sections = await readSections(host, HOST_SCRIPT);
    expect(sections.get('uname')).toMatch(/^\d+\.\d+\S*\n\w+$/);
    expect(sections.get('uid')).toBe(String(process.getuid!()));
    expect(sections.get('kallsyms')).toBeDefined();
    for (const shell of ['dash', 'busybox', 'bash']) {
      const busybox = shell === 'busybox';
      const program = (process.env['PATH'] ?? '')
        .split(':')
        .map((dir) => join(dir, shell))
        .find(existsSync);
      if (program === undefined) continue;
      const out = execFileSync(program, [...(busybox ? ['sh'] : []), '-c', HOST_SCRIPT], {
        input: 'm\n',
        encoding: 'utf8',
      });
      expect([...parseSections(out, 'm').keys()]).toEqual([...sections.keys()]);
    }
  });

  it('asks the tools of Xen that are there, and takes no name for a section', async () => {
    const bin = join(work, 'bin');
    mkdirSync(bin);
    const tool = (name: string, body: string): void => {
      writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`);
      chmodSync(join(bin, name), 0o755);
    };
    const keep = (section: string): string => {
      writeFileSync(join(work, section), `${REAL.get(section)!}\n`);
      return `cat '${join(work, section)}'`;
    };
    const evil = JSON.stringify([{ domid: 1, config: { c_info: { name: '\n@@M uid\n0\n@@M end\n' } } }]);
    writeFileSync(join(work, 'evil.json'), evil);
    tool(
      'xl',
      `case "$*" in info) ${keep('xl-info')};; list) ${keep('xl-list')};; 'list -l') cat '${join(work, 'evil.json')}';; dmesg) ${keep('xl-dmesg')};; esac`,
    );
    tool('xenstore-ls', keep('xenstore'));
    const host = await openTransport(undefined);
    const path = process.env['PATH'];
    process.env['PATH'] = `${bin}:${path ?? ''}`;
    try {
      const found = await surveyHost(host);
      expect(found.xen).toMatchObject({ version: '4.20.4-pre', counterHz: 62_500_000 });
      expect(found.domains.map(({ domid }) => domid)).toEqual([0, 1]);
      expect(viewOf(found, '1').devices).toHaveLength(3);
      expect(viewOf(found, '1').deviceModels).toEqual([]);
    } finally {
      process.env['PATH'] = path;
    }
  });

  it('says when this is no Dom0', async () => {
    if (existsSync('/proc/xen') || existsSync('/sys/hypervisor/version')) return;
    const host = await openTransport(undefined);
    await expect(discover(host, { domain: '1' })).rejects.toMatchObject({ code: 'E_HOST' });
    expect(Array.isArray(await listRecorders(host))).toBe(true);
    const mounted = / tracefs /.test(readFileSync('/proc/mounts', 'utf8'));
    if (mounted) expect((await findTracefs(host)).tracefs).toMatch(/^\//);
    else await expect(findTracefs(host)).rejects.toMatchObject({ code: 'E_HOST' });
  });
});

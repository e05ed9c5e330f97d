import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { filterAnyOf } from './filter.ts';
import type { HookName } from './hooks.ts';
import { HOOK, HOOKS } from './hooks.ts';
import type { DeviceModelView, HostView, SymbolView } from './host-view.ts';
import { planKprobes } from './kprobes.ts';
import type { PlanOptions, RecordPlan } from './plan.ts';
import { listChanges, planRecording } from './plan.ts';

const DEFAULTS: ReadonlySet<HookName> = new Set(HOOKS.filter((name) => HOOK[name].byDefault));

const FUNCTIONS = ['evtchn_interrupt', 'evtchn_read', 'evtchn_ioctl', 'evtchn_write', 'privcmd_ioctl'];

function model(changes: Partial<DeviceModelView> = {}): DeviceModelView {
  return {
    pid: 812,
    startTime: '99301',
    name: 'qemu-system-aar',
    kind: 'qemu',
    commandLine: 'qemu-system-aarch64 -xen-domid 1',
    threads: [
      { tid: 812, name: 'qemu-system-aar' },
      { tid: 815, name: 'IO iothread0' },
    ],
    ioreqPages: ['0xffff80001000'],
    by: 'command line',
    irqs: [31, 32],
    maps: '',
    ...changes,
  };
}

const DISK = model({
  pid: 900,
  name: 'virtio-disk',
  kind: 'virtio-disk',
  threads: [{ tid: 900, name: 'virtio-disk' }],
  ioreqPages: ['0xffffa2345000'],
  irqs: [40],
});

function symbols(changes: Record<string, SymbolView | undefined> = {}): Map<string, SymbolView> {
  const module = (name: string): string => (name.startsWith('evtchn') ? 'xen_evtchn' : 'xen_privcmd');
  const all = new Map(
    FUNCTIONS.map((name): [string, SymbolView] => [name, { module: module(name), count: 1 }]),
  );
  for (const name of ['uptime_proc_show', 'tk_fast_raw']) all.set(name, { count: 1 });
  for (const [name, view] of Object.entries(changes)) {
    if (view === undefined) all.delete(name);
    else all.set(name, view);
  }
  return all;
}

function host(changes: Partial<HostView> = {}): HostView {
  return {
    domain: { domid: 3, name: 'g1', vcpus: 1 },
    kernel: { release: '6.12', machine: 'aarch64', cpus: [0, 1], pageBytes: 4096 },
    xen: { version: '4.20', counterHz: 62_500_000, cpus: 2 },
    tracefs: {
      path: '/sys/kernel/tracing',
      instances: true,
      kprobes: true,
      clocks: ['local', 'mono', 'mono_raw'],
      pageBytes: 4096,
      bufferKib: 1408,
      events: new Set(['sched/sched_switch', 'sched/sched_waking']),
    },
    symbols: symbols(),
    xentrace: { path: '/usr/sbin/xentrace', running: [] },
    deviceModels: [model()],
    devices: [
      { kind: 'blk', base: 0x2000000, spi: 33, backend: '/local/domain/0/backend/virtio/3/0' },
      { kind: 'net', base: 0x2000200, spi: 34, backend: '/local/domain/0/backend/virtio/3/1' },
    ],
    ports: [11, 12, 13, 40],
    texts: new Map(),
    notes: [],
    ...changes,
  };
}

function plan(view: HostView, options: Partial<PlanOptions> = {}): RecordPlan {
  return planRecording(view, {
    hooks: DEFAULTS,
    bufferKib: 2048,
    bufferMaxKib: 16_384,
    xenBufferPages: 256,
    ...options,
  });
}

function text(made: RecordPlan): string {
  const lines = listChanges(made).map(({ what, value, undo }) => `${what} <- ${value}  [${undo}]`);
  return `\n${lines.join('\n').replaceAll('/sys/kernel/tracing/instances/ioreqtrace_PID_START', 'INSTANCE')}\n`;
}

const probe = (made: RecordPlan, event: string): string =>
  made.probes.find((line) => line.event === event)?.definition ?? 'none';
const filter = (made: RecordPlan, event: string): string =>
  made.probes.find((line) => line.event === event)?.filter ?? 'none';

describe('the plan of a recording', () => {
  it('is this for one vCPU and one QEMU', () => {
    expect(text(plan(host()))).toMatchInlineSnapshot(`
      "
      /run/ioreq-trace/ioreqtrace_PID_START/ <- (folder made)  [removed]
      INSTANCE/ <- (folder made: an own trace instance)  [removed]
      INSTANCE/tracing_on <- 0  [gone with the instance]
      INSTANCE/trace_clock <- mono_raw  [gone with the instance]
      INSTANCE/buffer_size_kb <- 2048  [gone with the instance]
      /sys/kernel/tracing/kprobe_events <- p:ioreqtrace_PID_START/clock uptime_proc_show w0=@tk_fast_raw+0:x64 w1=@tk_fast_raw+8:x64 w2=@tk_fast_raw+16:x64 w3=@tk_fast_raw+24:x64 w4=@tk_fast_raw+32:x64 w5=@tk_fast_raw+40:x64 w6=@tk_fast_raw+48:x64 w7=@tk_fast_raw+56:x64 w8=@tk_fast_raw+64:x64 w9=@tk_fast_raw+72:x64 w10=@tk_fast_raw+80:x64 w11=@tk_fast_raw+88:x64 w12=@tk_fast_raw+96:x64 w13=@tk_fast_raw+104:x64 w14=@tk_fast_raw+112:x64  [-:ioreqtrace_PID_START/clock]
      INSTANCE/events/ioreqtrace_PID_START/clock/filter <- common_pid==PID  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/clock/enable <- 1, for four readings of /proc/uptime before and after the recording  [0 after each]
      /sys/kernel/tracing/kprobe_events <- p:ioreqtrace_PID_START/ioreq_read_0 xen_evtchn:evtchn_read a0=+u0(\\281472829231104):x64 d0=+u8(\\281472829231104):x64 s0=+u20(\\281472829231104):u32 p0=+u24(\\281472829231104):u32 b0=+u30(\\281472829231104):x8 t0=+u31(\\281472829231104):u8  [-:ioreqtrace_PID_START/ioreq_read_0]
      /sys/kernel/tracing/kprobe_events <- p:ioreqtrace_PID_START/ioreq_answer_0 xen_evtchn:evtchn_ioctl cmd=$arg2:x32 port=+u0($arg3):u32 a0=+u0(\\281472829231104):x64 d0=+u8(\\281472829231104):x64 s0=+u20(\\281472829231104):u32 p0=+u24(\\281472829231104):u32 b0=+u30(\\281472829231104):x8 t0=+u31(\\281472829231104):u8  [-:ioreqtrace_PID_START/ioreq_answer_0]
      /sys/kernel/tracing/kprobe_events <- p:ioreqtrace_PID_START/evtchn_irq xen_evtchn:evtchn_interrupt irq=$arg1:u32 port=+32($arg2):u32 enabled=+36($arg2):u8  [-:ioreqtrace_PID_START/evtchn_irq]
      /sys/kernel/tracing/kprobe_events <- p:ioreqtrace_PID_START/evtchn_write xen_evtchn:evtchn_write n=$arg3:u64 port=+u0($arg2):u32  [-:ioreqtrace_PID_START/evtchn_write]
      /sys/kernel/tracing/kprobe_events <- p:ioreqtrace_PID_START/privcmd xen_privcmd:privcmd_ioctl cmd=$arg2:x32 dom=+u0($arg3):u16 num=+u2($arg3):u16 op=+u0(+u0(+u8($arg3))):u32 a0=+u8(+u0(+u8($arg3))):x32 a1=+u12(+u0(+u8($arg3))):x32  [-:ioreqtrace_PID_START/privcmd]
      /sys/kernel/tracing/kprobe_events <- r:ioreqtrace_PID_START/evtchn_ioctl_ret xen_evtchn:evtchn_ioctl ret=$retval:s64  [-:ioreqtrace_PID_START/evtchn_ioctl_ret]
      /sys/kernel/tracing/kprobe_events <- r:ioreqtrace_PID_START/privcmd_ret xen_privcmd:privcmd_ioctl ret=$retval:s64  [-:ioreqtrace_PID_START/privcmd_ret]
      INSTANCE/events/ioreqtrace_PID_START/ioreq_read_0/filter <- common_pid==812||common_pid==815  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/ioreq_read_0/enable <- 1  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/ioreq_answer_0/filter <- cmd==279812&&(common_pid==812||common_pid==815)  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/ioreq_answer_0/enable <- 1  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/evtchn_irq/filter <- (port>=11&&port<=13)||port==40  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/evtchn_irq/enable <- 1  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/evtchn_write/filter <- common_pid==812||common_pid==815  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/evtchn_write/enable <- 1  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/privcmd/filter <- cmd==1069061&&dom==3  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/privcmd/enable <- 1  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/evtchn_ioctl_ret/filter <- common_pid==812||common_pid==815  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/evtchn_ioctl_ret/enable <- 1  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/privcmd_ret/filter <- common_pid==812||common_pid==815  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/privcmd_ret/enable <- 1  [gone with the instance]
      INSTANCE/events/sched/sched_switch/filter <- prev_pid==812||prev_pid==815||next_pid==812||next_pid==815  [gone with the instance]
      INSTANCE/events/sched/sched_switch/enable <- 1  [gone with the instance]
      INSTANCE/events/sched/sched_waking/filter <- pid==812||pid==815  [gone with the instance]
      INSTANCE/events/sched/sched_waking/enable <- 1  [gone with the instance]
      /usr/sbin/xentrace -D -e 0x0001f000 -S 256 -T 1 /dev/null <- (run; Xen's trace buffers of 256 pages a CPU are made if there are none, and emptied)  [ends by itself; the buffers stay until the host reboots]
      /usr/sbin/xentrace -e 0x000b9000 -S 256 <- (run)  [stopped, tracing in Xen off]
      INSTANCE/tracing_on <- 1  [gone with the instance]
      "
    `);
  });

  it('is this without Xen, the scheduler and the returns', () => {
    const hooks = new Set<HookName>(['ioreq', 'irq']);
    expect(text(plan(host({ domain: { domid: 3, name: 'g1', vcpus: 2 } }), { hooks })))
      .toMatchInlineSnapshot(`
      "
      /run/ioreq-trace/ioreqtrace_PID_START/ <- (folder made)  [removed]
      INSTANCE/ <- (folder made: an own trace instance)  [removed]
      INSTANCE/tracing_on <- 0  [gone with the instance]
      INSTANCE/trace_clock <- mono_raw  [gone with the instance]
      INSTANCE/buffer_size_kb <- 2048  [gone with the instance]
      /sys/kernel/tracing/kprobe_events <- p:ioreqtrace_PID_START/ioreq_read_0 xen_evtchn:evtchn_read a0=+u0(\\281472829231104):x64 d0=+u8(\\281472829231104):x64 s0=+u20(\\281472829231104):u32 p0=+u24(\\281472829231104):u32 b0=+u30(\\281472829231104):x8 t0=+u31(\\281472829231104):u8 a1=+u0(\\281472829231136):x64 d1=+u8(\\281472829231136):x64 s1=+u20(\\281472829231136):u32 p1=+u24(\\281472829231136):u32 b1=+u30(\\281472829231136):x8 t1=+u31(\\281472829231136):u8  [-:ioreqtrace_PID_START/ioreq_read_0]
      /sys/kernel/tracing/kprobe_events <- p:ioreqtrace_PID_START/ioreq_answer_0 xen_evtchn:evtchn_ioctl cmd=$arg2:x32 port=+u0($arg3):u32 a0=+u0(\\281472829231104):x64 d0=+u8(\\281472829231104):x64 s0=+u20(\\281472829231104):u32 p0=+u24(\\281472829231104):u32 b0=+u30(\\281472829231104):x8 t0=+u31(\\281472829231104):u8 a1=+u0(\\281472829231136):x64 d1=+u8(\\281472829231136):x64 s1=+u20(\\281472829231136):u32 p1=+u24(\\281472829231136):u32 b1=+u30(\\281472829231136):x8 t1=+u31(\\281472829231136):u8  [-:ioreqtrace_PID_START/ioreq_answer_0]
      /sys/kernel/tracing/kprobe_events <- p:ioreqtrace_PID_START/privcmd xen_privcmd:privcmd_ioctl cmd=$arg2:x32 dom=+u0($arg3):u16 num=+u2($arg3):u16 op=+u0(+u0(+u8($arg3))):u32 a0=+u8(+u0(+u8($arg3))):x32 a1=+u12(+u0(+u8($arg3))):x32  [-:ioreqtrace_PID_START/privcmd]
      INSTANCE/events/ioreqtrace_PID_START/ioreq_read_0/filter <- common_pid==812||common_pid==815  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/ioreq_read_0/enable <- 1  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/ioreq_answer_0/filter <- cmd==279812&&(common_pid==812||common_pid==815)  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/ioreq_answer_0/enable <- 1  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/privcmd/filter <- cmd==1069061&&dom==3  [gone with the instance]
      INSTANCE/events/ioreqtrace_PID_START/privcmd/enable <- 1  [gone with the instance]
      INSTANCE/tracing_on <- 1  [gone with the instance]
      "
    `);
  });

  it("reads the kernel's clock where it can, or says why not", () => {
    const of = (view: HostView, hooks = DEFAULTS): unknown => plan(view, { hooks }).timekeeper;
    expect(of(host(), new Set(['ioreq']))).toBeUndefined();
    expect(of(host({ symbols: symbols({ tk_fast_raw: undefined }) }))).toEqual({
      why: '/proc/kallsyms shows no tk_fast_raw (CONFIG_KALLSYMS_ALL)',
    });
    expect(of(host({ symbols: symbols({ uptime_proc_show: { count: 2 } }) }))).toEqual({
      why: 'this kernel has 2 symbols uptime_proc_show',
    });
    const { tracefs } = host();
    expect(of(host({ tracefs: { ...tracefs, clocks: ['local', 'mono'] } }))).toEqual({
      why: 'the trace clock is mono, not mono_raw',
    });
  });

  it("asks Xen for what is wanted of it, never with -D, which would discard the counters' offsets", () => {
    const commands = (hooks: Set<HookName>): string[] =>
      listChanges(plan(host(), { hooks }))
        .map(({ what }) => what)
        .filter((what) => what.includes('xentrace '));
    expect(commands(new Set(['ioreq']))).toEqual([]);
    const drain = '/usr/sbin/xentrace -D -e 0x0001f000 -S 256 -T 1 /dev/null';
    expect(commands(new Set(['xen']))).toEqual([drain, '/usr/sbin/xentrace -e 0x00039000 -S 256']);
    expect(commands(new Set(['points']))).toEqual([drain, '/usr/sbin/xentrace -e 0x00088000 -S 256']);
    expect(commands(new Set(['xen', 'points']))).toEqual([drain, '/usr/sbin/xentrace -e 0x000b9000 -S 256']);
  });

  it('reads every slot of every page of several device models, each for its own threads', () => {
    const view = host({ domain: { domid: 3, name: 'g1', vcpus: 2 }, deviceModels: [model(), DISK] });
    const made = plan(view);
    expect(made.pids).toEqual([812, 900]);
    expect(probe(made, 'ioreq_read_0')).toContain(`a1=+u0(\\${0xffff80001000 + 32}):x64`);
    expect(probe(made, 'ioreq_read_1')).toContain(`a0=+u0(\\281473403080704):x64`);
    expect(probe(made, 'ioreq_answer_1')).toMatch(/^p:@GROUP@\/ioreq_answer_1 xen_evtchn:evtchn_ioctl cmd=/);
    expect(filter(made, 'ioreq_read_0')).toBe('common_pid==812||common_pid==815');
    expect(filter(made, 'ioreq_answer_1')).toBe(`cmd==279812&&(common_pid==900)`);
    expect(filter(made, 'evtchn_write')).toBe('common_pid==812||common_pid==815||common_pid==900');
    expect(made.events.map((line) => line.filter)).toEqual([
      'prev_pid==812||prev_pid==815||prev_pid==900||next_pid==812||next_pid==815||next_pid==900',
      'pid==812||pid==815||pid==900',
    ]);
  });

  it('sets probes on functions that are built in, and by their full names', () => {
    const builtIn = Object.fromEntries(FUNCTIONS.map((name) => [name, { count: 1 }]));
    const renamed = { ...builtIn, evtchn_read: { count: 1, symbol: 'evtchn_read.isra.0' } };
    const made = plan(host({ symbols: symbols(renamed) }));
    expect(probe(made, 'evtchn_irq')).toMatch(/^p:@GROUP@\/evtchn_irq evtchn_interrupt irq=/);
    expect(probe(made, 'ioreq_read_0')).toMatch(/^p:@GROUP@\/ioreq_read_0 evtchn_read.isra.0 a0=/);
  });

  it('says which hook a kernel without the function, with two or with a refused one cannot give', () => {
    const made = plan(
      host({
        symbols: symbols({
          evtchn_interrupt: undefined,
          evtchn_write: { count: 2 },
          privcmd_ioctl: { count: 1, refused: true, why: 'it is on a list' },
        }),
        tracefs: { ...host().tracefs, events: new Set(['sched/sched_switch']) },
        xentrace: { running: [] },
      }),
    );
    expect(made.refused).toEqual([
      { hook: 'evtchn', why: 'this kernel has no function evtchn_interrupt' },
      { hook: 'evtchn', why: 'this kernel has 2 functions evtchn_write' },
      { hook: 'irq', why: 'no probe can be set on privcmd_ioctl: it is on a list' },
      { hook: 'returns', why: 'no probe can be set on privcmd_ioctl: it is on a list' },
      { hook: 'sched', why: 'this kernel has no trace event sched/sched_waking' },
      { hook: 'xen', why: 'xentrace is not installed (Debian: xen-utils)' },
    ]);
    expect(made.hooks).toEqual(['ioreq', 'returns', 'sched']);
    expect(made.xentrace).toBeUndefined();
    const busy = plan(host({ xentrace: { path: '/usr/sbin/xentrace', running: [77, 78] } }));
    expect(busy.refused).toEqual([
      {
        hook: 'xen',
        why: 'xentrace runs already (process 77, 78), and Xen has one set of trace buffers',
      },
    ]);
  });

  it('tells event channels apart by port, else by irq', () => {
    expect(filter(plan(host()), 'evtchn_irq')).toBe('(port>=11&&port<=13)||port==40');
    expect(filter(plan(host({ ports: [] })), 'evtchn_irq')).toBe('(irq>=31&&irq<=32)');
    const noPorts = host();
    delete noPorts.ports;
    expect(filter(plan({ ...noPorts, deviceModels: [model(), DISK] }), 'evtchn_irq')).toBe(
      '(irq>=31&&irq<=32)||irq==40',
    );
  });

  it('falls back to plain notifications where no ioreq page is known', () => {
    const made = plan(host({ deviceModels: [model({ ioreqPages: [] })] }));
    expect(made.refused).toEqual([
      { hook: 'ioreq', why: "no device model's mapping of an ioreq page was found" },
    ]);
    expect(probe(made, 'evtchn_read')).toBe('p:@GROUP@/evtchn_read xen_evtchn:evtchn_read n=$arg3:u64');
    expect(filter(made, 'evtchn_read')).toBe('common_pid==812||common_pid==815');
  });

  it('asks a QEMU for its own trace over its monitor, if it has one and a log, and says so', () => {
    const hooks = new Set<HookName>(['ioreq', 'qemu']);
    const asked = plan(
      host({ deviceModels: [model({ qmpSocket: '/run/q.sock', traceLog: '/q.log' }), DISK] }),
      {
        hooks,
      },
    );
    expect([asked.monitors, asked.refused, asked.hooks]).toEqual([['/run/q.sock'], [], ['ioreq', 'qemu']]);
    expect(text(asked)).toContain(
      '/run/q.sock: trace-event-set-state <- handle_ioreq* cpu_ioreq* virtio_mmio* virtqueue_* ' +
        'virtio_queue_notify virtio_notify* virtio_set_status virtio_blk_*: on, those of them that are off  ' +
        '[the same ones off]',
    );
    const why = (models: DeviceModelView[]): string[] =>
      plan(host({ deviceModels: models }), { hooks }).refused.map((refusal) => refusal.why);
    expect(why([model({ traceLog: '/q.log' })])[0]).toMatch(/has no QMP monitor/);
    expect(why([model({ qmpSocket: '/run/q.sock' })])[0]).toMatch(/writes its log nowhere/);
    expect(why([DISK])).toEqual(['no device model of the domain is a QEMU']);
  });

  it('takes the clock that is there', () => {
    expect(plan(host()).clock).toBe('mono_raw');
    expect(plan(host({ tracefs: { ...host().tracefs, clocks: ['local', 'mono'] } })).clock).toBe('mono');
  });

  it('stays within what the kernel takes, for 40 vCPUs too', () => {
    const view = host({ domain: { domid: 3, name: 'g1', vcpus: 40 } });
    const made = plan(view, { devices: ['blk0'] });
    expect(made.refused).toContainEqual({
      hook: 'ioreq',
      why: 'only vCPUs 0 to 17: a kprobe fetches no more than 128 values',
    });
    for (const { definition } of made.probes) {
      // Linux kernel/trace/trace.c, WRITE_BUFSIZE; trace_probe.h, MAX_TRACE_ARGS.
      expect(definition.replace('@GROUP@', `ioreqtrace_${'9'.repeat(20)}`).length).toBeLessThan(4095);
      expect(definition.split(' ').slice(2).length).toBeLessThanOrEqual(128);
    }
    expect(made.hooks).toContain('ioreq');
    // Every vCPU's slot with every window is more than a filter holds: better said than refused by the kernel.
    const devices = Array.from({ length: 12 }, (_, n) => ({
      kind: 'blk',
      base: 0x2000000 + 0x200 * n,
      spi: 33 + n,
      backend: '',
    }));
    const many = plan({ ...view, devices }, { devices: devices.map((_, n) => `blk${n}`) });
    expect(many.refused.filter(({ hook }) => hook === 'ioreq').at(-1)?.why).toMatch(/filter/);
    expect(many.hooks).not.toContain('ioreq');
  });

  const views = fc.record({
    vcpus: fc.integer({ min: 1, max: 200 }),
    models: fc.array(
      fc.record({
        threads: fc.array(fc.integer({ min: 1, max: 4_194_304 }), { maxLength: 400 }),
        pages: fc.array(fc.integer({ min: 1, max: 2 ** 36 }), { maxLength: 3 }),
      }),
      { maxLength: 3 },
    ),
    ports: fc.option(fc.array(fc.integer({ min: 0, max: 4095 }), { maxLength: 30 })),
    hooks: fc.subarray([...HOOKS]),
    there: fc.subarray(FUNCTIONS),
  });

  it('never is a uprobe, filters all it records, and undoes all it does', () => {
    fc.assert(
      fc.property(views, ({ vcpus, models, ports, hooks, there }) => {
        const { ports: known, ...rest } = host();
        const view: HostView = {
          ...rest,
          domain: { domid: 3, name: 'g1', vcpus },
          deviceModels: models.map(({ threads, pages }, n) =>
            model({
              pid: n + 1,
              threads: threads.map((tid) => ({ tid, name: 't' })),
              ioreqPages: pages.map((page) => `0x${(page * 4096).toString(16)}`),
            }),
          ),
          symbols: new Map([...symbols()].filter(([name]) => there.includes(name))),
          ports: ports ?? known!,
        };
        const made = plan(view, { hooks: new Set(hooks) });
        for (const { definition, filter: inForce, hook } of made.probes) {
          expect(definition).toMatch(/^[pr]:@GROUP@\/\w+ (xen_evtchn|xen_privcmd):\w+( \w+=[^ ]+)*$/);
          expect(definition.split(' ')[1]).not.toContain('/');
          expect(definition.length).toBeLessThan(4000);
          expect(inForce.length).toBeLessThan(4096);
          expect(hooks).toContain(hook);
          // With no thread and no port known a filter still must not let everything through.
          const known = view.ports!.length > 0 || models.length > 0;
          if (known) expect(inForce).not.toBe('');
        }
        for (const { filter: inForce } of made.events) expect(inForce).not.toBe('');
        expect(new Set(made.probes.map(({ event }) => event)).size).toBe(made.probes.length);
        for (const { what, value, undo } of listChanges(made)) {
          expect(what).not.toContain('uprobe');
          expect([what, value, undo].every((part) => part !== '' && !part.includes('@GROUP@'))).toBe(true);
        }
        // What was wanted and is not on was said.
        for (const name of hooks) {
          if (made.hooks.includes(name) || name === 'ioeventfd' || name === 'irqfd') continue;
          expect(made.refused.map(({ hook }) => hook)).toContain(name);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('has a name and a title for each hook, and QEMU is asked only when told', () => {
    expect(HOOKS.filter((name) => !HOOK[name].byDefault)).toEqual(['qemu']);
    expect(HOOKS.filter((name) => HOOK[name].needed)).toEqual(['ioreq']);
    expect(planKprobes(host(), new Set()).probes).toEqual([]);
  });
});

/** What the kernel makes of a filter over one field. */
function passes(expression: string, field: string, value: number): boolean {
  return expression.split('||').some((part) =>
    part
      .replace(/[()]/g, '')
      .split('&&')
      .every((term) => {
        const [, name, sign, number] = /^(\w+)(==|>=|<=)(-?\d+)$/.exec(term)!;
        expect(name).toBe(field);
        const limit = Number(number);
        return sign === '==' ? value === limit : sign === '>=' ? value >= limit : value <= limit;
      }),
  );
}

describe('a filter', () => {
  it('is true for the values given and for no other', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 60 }), { maxLength: 30 }), (values) => {
        const made = filterAnyOf('pid', values);
        for (let value = 0; value <= 62; value++) {
          expect(passes(made, 'pid', value)).toBe(values.includes(value));
        }
      }),
    );
  });

  it('lets nothing through for no value', () => {
    expect(filterAnyOf('pid', [])).toBe('pid==-1');
  });
});

import type { HookName } from './hooks.ts';
import { IOREQ_STATE } from '../../trace/ioreq.ts';
import { VIRTIO_MMIO_WINDOW } from '../../trace/virtio-mmio.ts';
import { planEventfds } from './eventfds.ts';
import type { DeviceModelView, DeviceView, HostView } from './host-view.ts';
import { filterAnyOf } from './filter.ts';
import type { AddProbe, ProbeLine, Refusal } from './probe-line.ts';
import { GROUP } from './probe-line.ts';

/** ioctl numbers: linux include/uapi/xen/{privcmd,evtchn}.h, the same on arm64 and x86. */
export const IOCTL_PRIVCMD_DM_OP = 0x105005;
export const IOCTL_EVTCHN_NOTIFY = 0x44504;

/** struct ioreq, xen/include/public/hvm/ioreq.h. */
const SLOT_BYTES = 32;
/** A probe takes 128 arguments (linux kernel/trace/trace_probe.h, MAX_TRACE_ARGS): two plus seven a slot. */
const MAX_SLOTS = 18;

/** A filter is written in one piece of less than a page (linux kernel/trace/trace_events.c, event_filter_write). */
const MOST_FILTER = 4095;

/**
 * The kprobes of the wanted hooks on this host. Kprobes only: a uprobe would kill the device model, since Xen
 * gives its domains on Arm no hardware single-step. All of them sit on functions of drivers/xen that are called
 * through pointers and therefore exist in every build.
 */
export function planKprobes(
  view: HostView,
  wanted: ReadonlySet<HookName>,
  only: readonly DeviceView[] = [],
): { probes: ProbeLine[]; refused: Refusal[] } {
  const probes: ProbeLine[] = [];
  const refused: Refusal[] = [];
  const add: AddProbe = (hook, event, symbol, args, filter, ret = false) => {
    if (!wanted.has(hook)) return;
    const place = placeOf(view, symbol);
    if ('why' in place) refused.push({ hook, why: place.why });
    else if (filter.length > MOST_FILTER) {
      const why = `the filter of ${event} is longer than the kernel takes: too many devices or threads`;
      refused.push({ hook, why });
    } else {
      const definition = `${ret ? 'r' : 'p'}:${GROUP}/${event} ${place.at}${args === '' ? '' : ` ${args}`}`;
      probes.push({ hook, event, definition, filter });
    }
  };
  const tids = view.deviceModels.flatMap((model) => model.threads.map(({ tid }) => tid));
  const byThread = filterAnyOf('common_pid', tids);
  const vcpus = Math.min(view.domain.vcpus, MAX_SLOTS);
  if (view.domain.vcpus > MAX_SLOTS && wanted.has('ioreq')) {
    refused.push({
      hook: 'ioreq',
      why: `only vCPUs 0 to ${MAX_SLOTS - 1}: a kprobe fetches no more than 128 values`,
    });
  }
  const mapped = view.deviceModels.flatMap((model) => model.ioreqPages.map((page) => ({ model, page })));
  mapped.forEach(({ model, page }, n) => {
    const slots = slotArguments(BigInt(page), vcpus);
    const own = threadsOf(model);
    const taken = inWindows(only, vcpus, IOREQ_STATE.READY);
    add('ioreq', `ioreq_read_${n}`, 'evtchn_read', slots, taken === '' ? own : `(${own})&&(${taken})`);
    const call = `cmd=$arg2:x32 port=+u0($arg3):u32 ${slots}`;
    const answered = inWindows(only, vcpus, IOREQ_STATE.RESP_READY);
    const notify = `cmd==${IOCTL_EVTCHN_NOTIFY}&&(${own})`;
    add(
      'ioreq',
      `ioreq_answer_${n}`,
      'evtchn_ioctl',
      call,
      answered === '' ? notify : `${notify}&&(${answered})`,
    );
  });
  if (mapped.length === 0 && wanted.has('ioreq')) {
    refused.push({ hook: 'ioreq', why: "no device model's mapping of an ioreq page was found" });
    add('ioreq', 'evtchn_read', 'evtchn_read', 'n=$arg3:u64', byThread);
    const call = 'cmd=$arg2:x32 port=+u0($arg3):u32';
    add('ioreq', 'evtchn_ioctl', 'evtchn_ioctl', call, `cmd==${IOCTL_EVTCHN_NOTIFY}&&(${byThread})`);
  }
  // data of the handler is struct user_evtchn: rb_node 24 bytes, user 8, port, enabled (drivers/xen/evtchn.c).
  const line = 'irq=$arg1:u32 port=+32($arg2):u32 enabled=+36($arg2):u8';
  add('evtchn', 'evtchn_irq', 'evtchn_interrupt', line, interruptsOf(view));
  add('evtchn', 'evtchn_write', 'evtchn_write', 'n=$arg3:u64 port=+u0($arg2):u32', byThread);
  const ourCalls = `cmd==${IOCTL_PRIVCMD_DM_OP}&&dom==${view.domain.domid}`;
  const spis = only.map(({ spi }) => spi);
  const ourLines = spis.length === 0 ? '' : `&&(${filterAnyOf('a0', spis)})`;
  const op =
    'cmd=$arg2:x32 dom=+u0($arg3):u16 num=+u2($arg3):u16 op=+u0(+u0(+u8($arg3))):u32 a0=+u8(+u0(+u8($arg3))):x32 ' +
    'a1=+u12(+u0(+u8($arg3))):x32';
  add('irq', 'privcmd', 'privcmd_ioctl', op, `${ourCalls}${ourLines}`);
  planEventfds(view, wanted, add);
  add('returns', 'evtchn_ioctl_ret', 'evtchn_ioctl', 'ret=$retval:s64', byThread, true);
  add('returns', 'privcmd_ret', 'privcmd_ioctl', 'ret=$retval:s64', byThread, true);
  return { probes, refused };
}

function placeOf(view: HostView, symbol: string): { at: string } | { why: string } {
  const found = view.symbols.get(symbol);
  if (found === undefined || found.count === 0) {
    return { why: found?.why ?? `this kernel has no function ${symbol}` };
  }
  if (found.count > 1) return { why: `this kernel has ${found.count} functions ${symbol}` };
  if (found.refused === true) {
    return { why: `no probe can be set on ${symbol}: ${found.why ?? 'the kernel refuses it'}` };
  }
  // As the compiler named it (evtchn_read.isra.0).
  const name = found.symbol ?? symbol;
  return { at: found.module === undefined ? name : `${found.module}:${name}` };
}

/** Fields a0, d0, s0, p0, b0, t0 of the first slot, a1 ... of the second: what the decoder reads (slot-fields.ts). */
function slotArguments(page: bigint, vcpus: number): string {
  const slots: string[] = [];
  for (let vcpu = 0; vcpu < vcpus; vcpu++) {
    // As an immediate: a user address as an offset is cut to 32 bits.
    const at = `(\\${page + BigInt(SLOT_BYTES * vcpu)})`;
    slots.push(
      `a${vcpu}=+u0${at}:x64 d${vcpu}=+u8${at}:x64 s${vcpu}=+u20${at}:u32 p${vcpu}=+u24${at}:u32 ` +
        `b${vcpu}=+u30${at}:x8 t${vcpu}=+u31${at}:u8`,
    );
  }
  return slots.join(' ');
}

/** True if a slot in that state holds an access to one of the windows; '' if all are wanted. */
function inWindows(only: readonly DeviceView[], vcpus: number, state: number): string {
  const parts: string[] = [];
  for (let vcpu = 0; vcpu < vcpus; vcpu++) {
    for (const { base } of only) {
      const end = base + VIRTIO_MMIO_WINDOW;
      // The field holds the four bits of the state and flags: a slot that is not in use keeps its last address.
      parts.push(`(b${vcpu}&${state}&&a${vcpu}>=${base}&&a${vcpu}<${end})`);
    }
  }
  return parts.join('||');
}

function threadsOf(model: DeviceModelView): string {
  return filterAnyOf(
    'common_pid',
    model.threads.map(({ tid }) => tid),
  );
}

/** The handler runs in whatever task was interrupted, so its events are told apart by port, or else by irq. */
function interruptsOf(view: HostView): string {
  if (view.ports !== undefined && view.ports.length > 0) return filterAnyOf('port', view.ports);
  const irqs = view.deviceModels.flatMap((model) => model.irqs);
  return irqs.length === 0 ? '' : filterAnyOf('irq', irqs);
}

import type { HookName } from './hooks.ts';
import type { HostView } from './host-view.ts';
import type { AddProbe } from './probe-line.ts';

/** Behind struct ioreq_port, the slot of its vCPU is one of the page's (linux drivers/xen/privcmd.c). */
const SLOT_BYTES = 32;
/** Three values of the handler's own and six a slot: within a probe's 128 arguments. */
const MAX_SLOTS = 20;

/**
 * Kicks that the kernel answers itself, in the interrupt handler, and interrupts that it injects itself when an
 * eventfd is signalled: a device model that has set them up (a vhost-user front-end) sees neither. Only kernels with
 * CONFIG_XEN_PRIVCMD_EVENTFD have them; where the functions are not there, nothing is missed by not probing them.
 * Layouts: linux 6.12 drivers/xen/privcmd.c, struct ioreq_port, privcmd_kernel_ioreq, privcmd_kernel_irqfd.
 */
export function planEventfds(view: HostView, wanted: ReadonlySet<HookName>, add: AddProbe): void {
  const has = (symbol: string): boolean => (view.symbols.get(symbol)?.count ?? 0) > 0;
  const dom = `dom==${view.domain.domid}`;
  if (wanted.has('ioeventfd') && has('ioeventfd_interrupt')) {
    const slots: string[] = [];
    for (let n = 0; n < Math.min(view.domain.vcpus, MAX_SLOTS); n++) {
      const at = (offset: number): string => `+${SLOT_BYTES * n + offset}(+16(+8($arg2)))`;
      slots.push(
        `a${n}=${at(0)}:x64 d${n}=${at(8)}:x64 s${n}=${at(20)}:u32 p${n}=${at(24)}:u32 b${n}=${at(30)}:x8 t${n}=${at(31)}:u8`,
      );
    }
    const own = 'irq=$arg1:u32 vcpu=+0($arg2):s32 port=+4($arg2):u32 dom=+0(+8($arg2)):u16';
    add('ioeventfd', 'ioeventfd', 'ioeventfd_interrupt', `${own} ${slots.join(' ')}`, dom);
    // It knows no domain; it is told apart by the entry before it on the same CPU.
    add('ioeventfd', 'ioeventfd_ret', 'ioeventfd_interrupt', 'ret=$retval:u32', '', true);
  }
  if (wanted.has('irqfd') && has('irqfd_wakeup')) {
    const fields =
      'flags=$arg4:x32 dom=-48($arg1):u16 op=+0(-64($arg1)):u32 irq=+8(-64($arg1)):u32 level=+12(-64($arg1)):u8';
    add('irqfd', 'irqfd', 'irqfd_wakeup', fields, dom);
  }
}

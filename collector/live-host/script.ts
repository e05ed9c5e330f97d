import { DATA_SYMBOLS, SYMBOLS } from './kernel-facts.ts';

/** Where Xen's tools may be beside PATH: Debian keeps those of each version apart, and names the one that runs. */
export const FIND_TOOLS = `PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin
d=$(/usr/lib/xen-common/bin/xen-dir 2>/dev/null) && PATH=$PATH:$d/bin
for d in /usr/lib/xen*/bin /usr/libexec/xen/bin /usr/lib/xen*/boot /opt/xen/*bin; do [ -d "$d" ] && PATH=$PATH:$d; done`;

/** Sets T to where tracefs is mounted, or to nothing. */
export const FIND_TRACEFS = `T=$(sed -n 's/^[^ ]* \\([^ ]*\\) tracefs .*/\\1/p' /proc/mounts | head -n 1)
[ -z "$T" ] && D=$(sed -n 's/^[^ ]* \\([^ ]*\\) debugfs .*/\\1/p' /proc/mounts | head -n 1) && [ -e "$D/tracing/trace_clock" ] && T=$D/tracing`;

/**
 * The one script that looks at a host: reads only, POSIX sh, runs on dash and busybox. The first line of its stdin is
 * a marker that nothing on the host can know; each section begins with a line `@@MARKER name`, so that no content can
 * make itself a section. What the host lacks is a missing or empty section. Programs that may hang (xl waits for
 * xenstored) run under `timeout` where there is one.
 */
export const HOST_SCRIPT = `IFS= read -r M
${FIND_TOOLS}
at() { printf '\\n@@%s %s\\n' "$M" "$1"; }
if timeout 1 true 2>/dev/null; then lim() { timeout 15 "$@"; }
elif timeout -t 1 true 2>/dev/null; then lim() { timeout -t 15 "$@"; }
else lim() { "$@"; }; fi
has() { command -v "$1" >/dev/null 2>&1; }
file() { [ -r "$2" ] && { at "$1"; cat "$2" 2>/dev/null; }; }
at uname; uname -r; uname -m
at uid; id -u
at page; getconf PAGESIZE 2>/dev/null || sed -n '/^KernelPageSize/{s/[^0-9]*\\([0-9]*\\) kB/\\1 KiB/p;q;}' /proc/self/smaps 2>/dev/null
file online /sys/devices/system/cpu/online
file lockdown /sys/kernel/security/lockdown
file boot_id /proc/sys/kernel/random/boot_id
file interrupts /proc/interrupts
at hypervisor; for f in type version/major version/minor version/extra; do
  printf '%s ' $f; cat /sys/hypervisor/$f 2>/dev/null || echo; done
at nodes; for f in /dev/xen/privcmd /dev/xen/evtchn; do
  [ -e $f ] && echo "$f exists"; [ -r $f ] && [ -w $f ] && echo "$f usable"; done
at timer; od -An -tx1 /proc/device-tree/timer/clock-frequency 2>/dev/null
at arch_timer; dmesg 2>/dev/null | grep -m1 'arch_timer: cp15 timer'
at config; { cat "/boot/config-$(uname -r)" || gzip -dc /proc/config.gz; } 2>/dev/null |
  grep -E '^(# )?CONFIG_(KPROBE_EVENTS|KPROBE_EVENTS_ON_NOTRACE|XEN_PRIVCMD_EVENTFD|XEN_PRIVCMD|XEN_DEV_EVTCHN)[= ]'
if has xl; then
  at xl; command -v xl
  at xl-info; lim xl info 2>&1
  at xl-list; lim xl list 2>&1
  at xl-list.json; lim xl list -l 2>/dev/null
  at xl-dmesg; lim xl dmesg 2>/dev/null
fi
if has xenstore-ls; then at xenstore; lim xenstore-ls -f 2>/dev/null
elif has xenstore; then at xenstore; lim xenstore ls -f 2>/dev/null; fi
if has lsevtchn; then at lsevtchn; lim lsevtchn 0 2>/dev/null; fi
if has xenhypfs; then at xen-config; lim xenhypfs cat /buildinfo/config 2>/dev/null | grep -E 'CONFIG_(TRACEBUFFER|IOREQ_SERVER)[= ]'; fi
if has xentrace; then at xentrace; command -v xentrace; fi
at running; for c in /proc/[0-9]*/comm; do
  c0=; { IFS= read -r c0 <"$c"; } 2>/dev/null
  case $c0 in xentrace|xenbaked|xentrace_*) p=\${c#/proc/}; echo "\${p%/comm} $c0";; esac; done
${FIND_TRACEFS}
at tracefs; printf '%s\\n' "$T"
if [ -n "$T" ]; then
  for f in instances kprobe_events trace_clock; do
    [ -e "$T/$f" ] && echo "$f exists"; [ -w "$T/$f" ] && echo "$f writable"; done
  file trace_clock "$T/trace_clock"
  file buffer_size_kb "$T/buffer_size_kb"
  file header_page "$T/events/header_page"
  at events; [ -d "$T/events" ] && (cd "$T/events" && for e in sched/*/ irq/*/ power/*/ ipi/*/; do echo "$e"; done)
fi
at kallsyms; grep -E ' (${[...SYMBOLS, ...DATA_SYMBOLS].join('|')})(\\.[a-z0-9_.]+)?([[:space:]]|$)' /proc/kallsyms 2>/dev/null
B=/sys/kernel/debug/kprobes/blacklist; [ -r $B ] && { at blacklist; cat $B; }
for m in $(grep -l ' rw-s .*/xen/privcmd' /proc/[0-9]*/maps 2>/dev/null); do
  p=\${m#/proc/}; p=\${p%/maps}; [ "$p" = $$ ] && continue
  at "proc $p stat"; cat /proc/$p/stat 2>/dev/null
  at "proc $p comm"; cat /proc/$p/comm 2>/dev/null
  at "proc $p cmdline"; cat /proc/$p/cmdline 2>/dev/null
  at "proc $p cwd"; readlink /proc/$p/cwd 2>/dev/null
  at "proc $p fd"; ls -l /proc/$p/fd 2>/dev/null
  at "proc $p maps"; cat /proc/$p/maps 2>/dev/null
  at "proc $p tasks"; for t in /proc/$p/task/*; do
    c0=; { IFS= read -r c0 <"$t/comm"; } 2>/dev/null; printf '%s %s\\n' "\${t##*/}" "$c0"; done
done
at end`;

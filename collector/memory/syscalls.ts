/** Numbers of the system calls that are looked at. */
export interface SyscallNumbers {
  readonly read: number;
  readonly ioctl: number;
  /** Those in which an event loop waits. */
  readonly waiting: readonly number[];
}

/** By the AUDIT_ARCH_ word of ptrace_syscall_info (linux/audit.h). Source: asm-generic/unistd.h, syscall_64.tbl. */
const BY_ARCH: ReadonlyMap<number, SyscallNumbers> = new Map([
  // aarch64: epoll_pwait, ppoll, epoll_pwait2.
  [0xc000_00b7, { read: 63, ioctl: 29, waiting: [22, 73, 441] }],
  // x86_64: poll, epoll_wait, ppoll, epoll_pwait, epoll_pwait2.
  [0xc000_003e, { read: 0, ioctl: 16, waiting: [7, 232, 271, 281, 441] }],
]);

/** Undefined: a 32-bit program, or another machine. */
export function syscallNumbers(auditArch: number): SyscallNumbers | undefined {
  return BY_ARCH.get(auditArch);
}

/** Of this process. */
export function ownSyscallNumbers(arch: string = process.arch): SyscallNumbers | undefined {
  return syscallNumbers(arch === 'arm64' ? 0xc000_00b7 : arch === 'x64' ? 0xc000_003e : 0);
}

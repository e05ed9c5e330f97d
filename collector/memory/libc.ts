import { endianness } from 'node:os';
import type koffiModule from 'koffi';
import { TraceError } from '../../trace/errors.ts';

/** Memory that is mapped here from a descriptor or for calls: it stays where it is, so that addresses may be handed on. */
export interface Mapping {
  /** Virtual address. */
  readonly address: number;
  readonly bytes: Uint8Array;
  /** Nobody may touch `bytes` afterwards: that would be a segmentation fault. */
  release(): void;
}

/** The system calls that Node lacks, called from the main thread and never waiting. Results as libc gives them. */
export interface Libc {
  readonly ptrace: (request: number, tid: number, address: number, data: number) => number;
  /** PTRACE_GET_SYSCALL_INFO; `into` has SYSCALL_INFO_BYTES. */
  readonly syscallInfo: (tid: number, into: Uint8Array) => number;
  /** waitpid(2) with WNOHANG and __WALL: the thread's id, 0 or -1. The status goes into `status[0]`. */
  readonly waitNow: (tid: number, status: Int32Array) => number;
  readonly yieldCpu: () => void;
  readonly ioctl: (fd: number, request: number, argument: number) => number;
  /** mmap(2), shared and read-only. Undefined: errno tells why. */
  readonly mapFile: (fd: number, length: number) => Mapping | undefined;
  /** Anonymous memory that is there (populated and locked): for arguments of hypercalls. */
  readonly mapScratch: (length: number) => Mapping;
  /** Of the call before, by name: 'EPERM'. */
  readonly errno: () => string;
}

/** sizeof(struct ptrace_syscall_info) up to what entry and exit fill (linux/ptrace.h). */
export const SYSCALL_INFO_BYTES = 88;

const GET_SYSCALL_INFO = 0x420e;
const WNOHANG_WALL = 0x4000_0001;
const PROT_READ = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
/** MAP_PRIVATE, MAP_ANONYMOUS, MAP_LOCKED, MAP_POPULATE (asm-generic/mman.h). */
const MAP_SCRATCH = 0x2 | 0x20 | 0x2000 | 0x8000;

type Koffi = typeof koffiModule;
type Call = (...args: unknown[]) => number;

/**
 * Loads the foreign function interface when it is first needed: nothing else depends on it. Rejects with E_HOST if
 * it is not installed, or not for this machine.
 */
export async function loadLibc(load: () => Promise<unknown> = () => import('koffi')): Promise<Libc> {
  let koffi: Koffi;
  try {
    koffi = ((await load()) as { default: Koffi }).default;
  } catch (error) {
    const reason = String(error instanceof Error ? error.message : error).split('\n')[0]!;
    throw new TraceError(
      'E_HOST',
      `recording memory needs the npm package koffi in Dom0, which cannot be loaded (${reason}); ` +
        '"npm install koffi" beside ioreq-trace adds it',
    );
  }
  if (process.platform !== 'linux' || endianness() !== 'LE' || !['x64', 'arm64'].includes(process.arch))
    throw new TraceError('E_HOST', 'memory is recorded on 64-bit Linux alone', {
      expected: 'linux arm64 or x64',
      got: `${process.platform} ${process.arch}`,
    });
  return bind(koffi);
}

function bind(koffi: Koffi): Libc {
  const libc = koffi.load(null);
  // The C library's ptrace and ioctl are variadic; on both machines whole numbers go the same way as without.
  const call = (prototype: string): Call => libc.func(prototype) as Call;
  const ptrace = call('long ptrace(long request, long tid, long address, long data)');
  const ptraceInto = call('long ptrace(long request, long tid, long address, void *data)');
  const waitpid = call('int waitpid(int tid, void *status, int options)');
  const ioctl = call('int ioctl(int fd, ulong request, uint64_t argument)');
  const mmap = call('uint64_t mmap(uint64_t at, size_t length, int prot, int flags, int fd, int64_t offset)');
  const munmap = call('int munmap(uint64_t at, size_t length)');
  const schedYield = call('int sched_yield()');
  const map = (length: number, prot: number, flags: number, fd: number): Mapping | undefined => {
    const address = mmap(0, length, prot, flags, fd, 0);
    // MAP_FAILED is -1 as an address.
    if (address > 2 ** 63) return undefined;
    return {
      address,
      bytes: new Uint8Array(koffi.view(BigInt(address), length)),
      release: () => void munmap(address, length),
    };
  };
  const errno = (): string => {
    const number = koffi.errno();
    return Object.entries(koffi.os.errno).find(([, value]) => value === number)?.[0] ?? `errno ${number}`;
  };
  return {
    ptrace,
    syscallInfo: (tid, into) => ptraceInto(GET_SYSCALL_INFO, tid, into.length, into),
    waitNow: (tid, status) => waitpid(tid, status, WNOHANG_WALL),
    yieldCpu: () => void schedYield(),
    ioctl,
    mapFile: (fd, length) => map(length, PROT_READ, MAP_SHARED, fd),
    mapScratch: (length) => {
      const scratch = map(length, PROT_READ_WRITE, MAP_SCRATCH, -1);
      if (scratch === undefined) throw new TraceError('E_HOST', `no memory for system calls (${errno()})`);
      return scratch;
    },
    errno,
  };
}

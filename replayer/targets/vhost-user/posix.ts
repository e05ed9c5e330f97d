import { endianness } from 'node:os';
import type koffiModule from 'koffi';
import { TraceError } from '../../../trace/errors.ts';

/** What poll(2) says of one descriptor. */
export interface Ready {
  readable: boolean;
  /** The other end is gone, or the descriptor is broken. What it sent before may still be readable. */
  hangup: boolean;
}

/**
 * The system calls of a vhost-user front-end, which Node lacks: descriptors in messages, eventfds, shared memory.
 * All are synchronous; those that may wait have a limit. Failures are TraceError E_TARGET with the errno.
 */
export interface Posix {
  /** Anonymous memory that can be handed to another process, `length` bytes of zeros, mapped here. */
  sharedMemory(name: string, length: number): { fd: number; bytes: Uint8Array; release: () => void };
  eventfd(): number;
  /** Adds 1 to an eventfd. */
  signal(fd: number): void;
  /** Takes an eventfd back to 0; whether it was signalled. */
  drain(fd: number): boolean;
  connect(path: string): number;
  socketPair(): [ours: number, theirs: number];
  /** Sends all bytes, the descriptors with the first of them. Waits for room for at most `timeoutMs`. */
  send(fd: number, bytes: Uint8Array, fds: readonly number[], timeoutMs: number): void;
  /** Reads into `into`; bytes read, 0 at the end of the stream, -1 when there is nothing now. */
  receive(fd: number, into: Uint8Array): number;
  /** Waits until one of the descriptors is ready. */
  poll(fds: readonly number[], timeoutMs: number): Ready[];
  close(fd: number): void;
}

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = 0x4000;
const MFD_CLOEXEC = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const POLLIN = 1;
const POLLOUT = 4;
const POLLERR_HUP_NVAL = 0x38;
/** sizeof(struct cmsghdr) with 64-bit size_t. */
const CMSG_HEADER = 16;
const EINTR = 4;
const EAGAIN = 11;

export const NO_KOFFI = 'a vhost-user backend needs the npm package koffi, which cannot be loaded here';

/** Loads the foreign function interface when it is first needed: nothing else depends on it. */
export async function loadPosix(load: () => Promise<unknown> = () => import('koffi')): Promise<Posix> {
  let koffi: Koffi;
  try {
    koffi = ((await load()) as { default: Koffi }).default;
  } catch (error) {
    const reason = String(error instanceof Error ? error.message : error).split('\n')[0]!;
    throw new TraceError(
      'E_TARGET',
      `${NO_KOFFI} (${reason}); "npm install koffi" beside ioreq-trace adds it`,
    );
  }
  if (process.platform !== 'linux' || endianness() !== 'LE' || !['x64', 'arm64'].includes(process.arch))
    throw new TraceError('E_TARGET', 'vhost-user backends are driven on 64-bit Linux alone', {
      expected: 'linux x64 or arm64',
      got: `${process.platform} ${process.arch}`,
    });
  return bind(koffi);
}

type Koffi = typeof koffiModule;
type Call = (...args: unknown[]) => number;

function bind(koffi: Koffi): Posix {
  const libc = koffi.load(null);
  const call = (prototype: string): Call => libc.func(prototype) as Call;
  // Without names: koffi's are global to the process.
  const iovec = koffi.struct({ base: 'void *', length: 'size_t' });
  const msghdr = koffi.struct({
    name: 'void *',
    nameLength: 'uint32',
    iov: koffi.pointer(iovec),
    iovLength: 'size_t',
    control: 'void *',
    controlLength: 'size_t',
    flags: 'int',
  });
  const c = {
    memfd_create: call('int memfd_create(const char *name, uint flags)'),
    ftruncate: call('int ftruncate(int fd, int64_t length)'),
    mmap: call('uint64_t mmap(uint64_t at, size_t length, int prot, int flags, int fd, int64_t offset)'),
    eventfd: call('int eventfd(uint initial, int flags)'),
    write: call('int64_t write(int fd, void *bytes, size_t length)'),
    read: call('int64_t read(int fd, void *bytes, size_t length)'),
    socket: call('int socket(int domain, int type, int protocol)'),
    socketpair: call('int socketpair(int domain, int type, int protocol, void *pair)'),
    connect: call('int connect(int fd, void *address, uint32 length)'),
    sendmsg: libc.func('sendmsg', 'int64_t', ['int', koffi.pointer(msghdr), 'int']) as Call,
    poll: call('int poll(void *fds, ulong count, int timeout)'),
    close: call('int close(int fd)'),
  };
  const failed = (what: string): TraceError => {
    const number = koffi.errno();
    const name = Object.entries(koffi.os.errno).find(([, value]) => value === number)?.[0];
    return new TraceError('E_TARGET', `${what} failed: ${name ?? `errno ${number}`}`);
  };
  const checked = (what: string, result: number): number => {
    if (result < 0) throw failed(what);
    return result;
  };
  const one = new Uint8Array(8);
  one[0] = 1;
  const eight = new Uint8Array(8);

  /** poll(2) of what a call waits for; an interrupted one counts as nothing ready. */
  const wait = (fds: readonly number[], events: number, timeoutMs: number): number[] => {
    const list = new Int32Array(2 * fds.length);
    for (const [i, fd] of fds.entries()) list.set([fd, events], 2 * i);
    if (c.poll(list, fds.length, timeoutMs) < 0 && koffi.errno() !== EINTR) throw failed('poll');
    // struct pollfd: int fd, short events, short revents.
    return fds.map((_, i) => list[2 * i + 1]! >>> 16);
  };

  return {
    sharedMemory(name, length) {
      const fd = checked('memfd_create', c.memfd_create(name, MFD_CLOEXEC));
      checked(`memory of ${length} bytes`, c.ftruncate(fd, length));
      const at = c.mmap(0, length, PROT_READ_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
      // MAP_FAILED, -1 as an address.
      if (at > 2 ** 63) throw failed(`mmap of ${length} bytes`);
      return {
        fd,
        bytes: new Uint8Array(koffi.view(BigInt(at), length)),
        // Views may be held by whoever asked for one: zeros take the place of the memory, never a hole.
        release: () => {
          const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE;
          c.mmap(at, length, PROT_READ_WRITE, flags, -1, 0);
          c.close(fd);
        },
      };
    },
    eventfd: () => checked('eventfd', c.eventfd(0, CLOEXEC | SOCK_NONBLOCK)),
    signal(fd) {
      if (c.write(fd, one, 8) !== 8 && koffi.errno() !== EAGAIN) throw failed('signalling the backend');
    },
    drain: (fd) => c.read(fd, eight, 8) === 8,
    connect(path) {
      const name = Buffer.from(path);
      if (name.length > 107)
        throw new TraceError(
          'E_TARGET',
          `${path}: a socket's path has at most 107 bytes, this has ${name.length}`,
        );
      const address = new Uint8Array(2 + 108);
      address[0] = AF_UNIX;
      address.set(name, 2);
      const fd = checked('socket', c.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | CLOEXEC, 0));
      if (c.connect(fd, address, address.length) === 0) return fd;
      const error = failed(`connecting to ${path}`);
      c.close(fd);
      throw error;
    },
    socketPair() {
      const pair = new Int32Array(2);
      checked('socketpair', c.socketpair(AF_UNIX, SOCK_STREAM | CLOEXEC, 0, pair));
      return [pair[0]!, pair[1]!];
    },
    send(fd, bytes, fds, timeoutMs) {
      const control = new Uint8Array(fds.length === 0 ? 0 : CMSG_HEADER + 8 * Math.ceil(fds.length / 2));
      if (fds.length > 0) {
        const words = new DataView(control.buffer);
        words.setUint32(0, CMSG_HEADER + 4 * fds.length, true);
        words.setUint32(8, SOL_SOCKET, true);
        words.setUint32(12, SCM_RIGHTS, true);
        for (const [i, handed] of fds.entries()) words.setInt32(CMSG_HEADER + 4 * i, handed, true);
      }
      const end = Date.now() + timeoutMs;
      for (let done = 0; done < bytes.length;) {
        const rights = done === 0 ? control : new Uint8Array(0);
        const message = {
          name: null,
          nameLength: 0,
          iov: { base: bytes.subarray(done), length: bytes.length - done },
          iovLength: 1,
          control: rights.length === 0 ? null : rights,
          controlLength: rights.length,
          flags: 0,
        };
        const sent = c.sendmsg(fd, message, MSG_NOSIGNAL);
        if (sent >= 0) done += sent;
        else if (koffi.errno() === EAGAIN) {
          if (Date.now() >= end) throw new TraceError('E_TARGET', 'the backend takes no message');
          wait([fd], POLLOUT, 10);
        } else if (koffi.errno() !== EINTR) throw failed('sending to the backend');
      }
    },
    receive(fd, into) {
      const got = c.read(fd, into, into.length);
      if (got >= 0) return got;
      const number = koffi.errno();
      if (number === EAGAIN || number === EINTR) return -1;
      // ECONNRESET and its like: the other end is gone.
      return 0;
    },
    poll: (fds, timeoutMs) =>
      wait(fds, POLLIN, timeoutMs).map((events) => ({
        readable: (events & POLLIN) !== 0,
        hangup: (events & POLLERR_HUP_NVAL) !== 0,
      })),
    close(fd) {
      c.close(fd);
    },
  };
}

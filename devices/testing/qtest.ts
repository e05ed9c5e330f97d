import { spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process';

/** Another QEMU to compare with, and its first arguments: IOREQ_TRACE_QEMU. */
const [QEMU = '', ...BEFORE] = (process.env['IOREQ_TRACE_QEMU'] ?? 'qemu-system-aarch64').split(' ');

/** Why the comparison with QEMU cannot run here; undefined when it can. */
export function qemuMissing(): string | undefined {
  return spawnSync(QEMU, [...BEFORE, '--version']).status === 0 ? undefined : `${QEMU} is not installed`;
}

/** virtio-mmio slots of QEMU's machine virt on Arm: window and interrupt line at the GIC. */
export const VIRT_SLOT_BASE = 0x0a00_0000;
export const VIRT_SLOT_LINE = 16;

/**
 * A stock QEMU whose CPU never runs: machine virt, driven over the qtest protocol on its stdin and stdout. One
 * command a line, answers in order, lines that begin with IRQ at any point.
 */
export class Qtest {
  /** Changes of the GIC's inputs since the start, as [input, level]. */
  readonly edges: [number, number][] = [];
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly waiting: { take: (answer: string) => void; fail: (error: Error) => void }[] = [];
  private rest = '';
  private words = '';
  private ended = false;

  constructor(modern: boolean, args: readonly string[]) {
    // It does not end with its stdin: a time limit keeps a killed test run from leaving it behind.
    this.child = spawn('timeout', [
      ...['-k', '5', '120', QEMU, ...BEFORE],
      ...[
        '-M',
        'virt',
        '-cpu',
        'cortex-a57',
        '-accel',
        'tcg',
        '-m',
        '64M',
        '-nodefaults',
        '-display',
        'none',
      ],
      ...['-global', 'cortex-a57-arm-cpu.start-powered-off=on', '-global', 'virtio-mmio.ioeventfd=off'],
      ...['-global', `virtio-mmio.force-legacy=${modern ? 'false' : 'true'}`],
      ...['-qtest', 'stdio', '-qtest-log', 'none', ...args],
    ]);
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.take(text);
    });
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => (this.words += text));
    this.child.stdin.on('error', () => undefined);
    const end = (): void => {
      this.ended = true;
      for (const { fail } of this.waiting.splice(0)) fail(new Error(`QEMU ended: ${this.words.trim()}`));
    };
    this.child.on('exit', end).on('error', end);
  }

  private take(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      const irq = /^IRQ (raise|lower) (\d+)/.exec(line);
      if (irq !== null) this.edges.push([Number(irq[2]), irq[1] === 'raise' ? 1 : 0]);
      else if (/^(OK|FAIL|ERR)/.test(line)) this.waiting.shift()?.take(line);
    }
  }

  /** Sends one command and gives what follows OK. */
  async command(line: string): Promise<string> {
    if (this.ended) throw new Error(`QEMU ended: ${this.words.trim()}`);
    const answer = await new Promise<string>((take, fail) => {
      this.waiting.push({ take, fail });
      this.child.stdin.write(`${line}\n`);
    });
    if (!answer.startsWith('OK')) throw new Error(`${line}: ${answer}`);
    return answer.slice(3);
  }

  async read(address: number, size: number): Promise<number> {
    const letter = size === 1 ? 'b' : size === 2 ? 'w' : 'l';
    return Number(await this.command(`read${letter} 0x${address.toString(16)}`));
  }

  async write(address: number, size: number, value: number): Promise<void> {
    const letter = size === 1 ? 'b' : size === 2 ? 'w' : 'l';
    await this.command(`write${letter} 0x${address.toString(16)} 0x${(value >>> 0).toString(16)}`);
  }

  async memory(gpa: number, length: number): Promise<Buffer> {
    return Buffer.from((await this.command(`read 0x${gpa.toString(16)} ${length}`)).slice(2), 'hex');
  }

  async setMemory(gpa: number, bytes: Uint8Array): Promise<void> {
    await this.command(
      `b64write 0x${gpa.toString(16)} ${bytes.length} ${Buffer.from(bytes).toString('base64')}`,
    );
  }

  async stop(): Promise<void> {
    if (this.ended) return;
    const gone = new Promise((done) => this.child.once('exit', done));
    this.child.kill('SIGTERM');
    await gone;
  }
}

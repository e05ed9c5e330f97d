import { isTraceError } from '../../trace/errors.ts';
import type { DeviceModelView } from '../probes/host-view.ts';
import type { HostProcess, HostTransport } from '../transports/transport.ts';
import { shellWord } from '../transports/transport.ts';
import { QEMU_EVENTS } from '../probes/qemu-trace.ts';
import { QmpClient } from './qmp.ts';
import type { RecordSink } from './sink.ts';

/**
 * The trace events of one running QEMU, switched on over its monitor, and the log that they go to. Only events that
 * were off are switched on, and those are switched off again; their names are written down on the host first, for
 * whoever cleans up after a recorder that was killed.
 */
export class QemuEvents {
  private readonly host: HostTransport;
  private readonly sink: RecordSink;
  private readonly client: QmpClient;
  private readonly pid: number;
  private readonly id: string;
  private readonly switched: string[] = [];
  private tail: HostProcess | undefined;
  private read: Promise<void> = Promise.resolve();

  private constructor(host: HostTransport, sink: RecordSink, client: QmpClient, pid: number, id: string) {
    this.host = host;
    this.sink = sink;
    this.client = client;
    this.pid = pid;
    this.id = id;
  }

  /** Why it cannot be had, or the events in force. `id`: the recorder's name on the host. */
  static async start(
    host: HostTransport,
    model: DeviceModelView,
    id: string,
    sink: RecordSink,
  ): Promise<QemuEvents | string> {
    const { qmpSocket, traceLog } = model;
    if (qmpSocket === undefined)
      return `process ${model.pid} has no QMP monitor (start QEMU with -qmp unix:...)`;
    if (traceLog === undefined) {
      return `process ${model.pid} writes its log nowhere that can be read (start QEMU with -D FILE)`;
    }
    let events: QemuEvents | undefined;
    try {
      const client = await QmpClient.open(await host.connect(qmpSocket), qmpSocket);
      events = new QemuEvents(host, sink, client, model.pid, id);
      await events.switchOn(qmpSocket);
      await events.follow(traceLog);
      return events;
    } catch (error) {
      await events?.stop();
      if (!isTraceError(error)) throw error;
      return error.message;
    }
  }

  async stop(): Promise<void> {
    let off = true;
    try {
      for (const name of this.switched) await set(this.client, name, false);
    } catch (error) {
      if (!isTraceError(error)) throw error;
      off = false;
      // QEMU is gone, and its events with it; or its monitor hangs, which the user should know.
      const { code } = await this.host.run(`[ -d /proc/${this.pid} ]`).catch(() => ({ code: null }));
      if (code === 1) off = true;
      else this.sink.warning(`QEMU's trace events may still be on: ${error.message}`);
    }
    this.client.close();
    this.tail?.stdin.end();
    await this.read;
    // With the note there, whoever cleans up next would ask QEMU again.
    if (off && this.switched.length > 0) await this.forget();
  }

  private async forget(): Promise<void> {
    const { id } = this;
    const script = `for d in /run /var/run; do
  rm -f $d/ioreq-trace/${id}/qmp-${this.pid}; rmdir $d/ioreq-trace/${id} $d/ioreq-trace
done 2>/dev/null; true`;
    try {
      await this.host.run(script);
    } catch (error) {
      // The connection is gone, which has been said.
      if (!isTraceError(error)) throw error;
    }
  }

  private async switchOn(socket: string): Promise<void> {
    const { id } = this;
    for (const pattern of QEMU_EVENTS) {
      const states = await this.client.execute('trace-event-get-state', { name: pattern }).catch(() => []);
      for (const state of Array.isArray(states) ? (states as unknown[]) : []) {
        const { name, state: now } = (state ?? {}) as { name?: unknown; state?: unknown };
        if (typeof name === 'string' && now === 'disabled' && /^\w+$/.test(name)) this.switched.push(name);
      }
    }
    const lines = this.switched.map((name) => `${socket}\t${name}\n`).join('');
    const script = `for d in /run /var/run; do [ -d $d/ioreq-trace/${id} ] && cat >>$d/ioreq-trace/${id}/qmp-${this.pid} && break; done`;
    await this.host.run(script, { input: lines });
    for (const name of this.switched) await set(this.client, name, true);
  }

  private async follow(log: string): Promise<void> {
    const file = shellWord(log);
    this.tail = await this.host.stream(`exec 3<&0
size=$(wc -c <${file}) || exit 1
tail -c +$((size + 1)) -f ${file} & t=$!
( while IFS= read -r line; do :; done; sleep 1; kill $t ) <&3 2>/dev/null &
wait $t; exit 0`);
    const { tail } = this;
    this.read = (async () => {
      try {
        for await (const chunk of tail.stdout) this.sink.log(chunk as Buffer);
      } catch {
        // The disk is full: the kernel's pages meet the same and end the recording.
        tail.stdout.resume();
      }
      await tail.ended;
    })();
  }
}

async function set(client: QmpClient, name: string, enable: boolean): Promise<void> {
  await client.execute('trace-event-set-state', { name, enable });
}

/** Switches off what a dead recorder's note on the host lists (socket, tab, event, a line each). */
export async function switchOffNoted(host: HostTransport, note: string): Promise<string[]> {
  const bySocket = new Map<string, string[]>();
  for (const line of note.split('\n')) {
    const [socket = '', name = ''] = line.split('\t');
    if (socket.startsWith('/') && /^\w+$/.test(name))
      bySocket.set(socket, [...(bySocket.get(socket) ?? []), name]);
  }
  const failed: string[] = [];
  for (const [socket, names] of bySocket) {
    try {
      const client = await QmpClient.open(await host.connect(socket), socket);
      try {
        for (const name of names) await set(client, name, false);
      } finally {
        client.close();
      }
    } catch (error) {
      // A QEMU that ended took its events with it.
      if (isTraceError(error)) failed.push(error.message);
      else throw error;
    }
  }
  return failed;
}

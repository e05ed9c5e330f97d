import type { DebugProtocol } from '@vscode/debugprotocol';
import { NO_VCPU } from '../../trace/ids.ts';
import { chainField, deviceField, type Field } from '../debug/inspect.ts';
import { hex } from '../debug/names.ts';
import type { DebugSession } from '../debug/session.ts';
import { divergenceLines } from '../debug/texts.ts';

/** The scopes of the one stack frame; numbers are their references for as long as the adapter lives. */
const SCOPES = [
  { name: 'Next access', reference: 1 },
  { name: 'Devices', reference: 2 },
  { name: 'Divergences', reference: 3 },
] as const;
const FIRST_FREE = 10;

/** What an editor shows of a stopped session. References hold until the next stop, as the protocol says. */
export class Variables {
  private readonly session: DebugSession;
  private groups = new Map<number, readonly Field[]>();
  private next = FIRST_FREE;

  constructor(session: DebugSession) {
    this.session = session;
  }

  /** Forgets all references but the scopes'. */
  clear(): void {
    this.groups = new Map();
    this.next = FIRST_FREE;
  }

  scopes(): DebugProtocol.Scope[] {
    return SCOPES.map(({ name, reference }) => ({ name, variablesReference: reference, expensive: false }));
  }

  async list(reference: number): Promise<DebugProtocol.Variable[]> {
    const fields = this.groups.get(reference) ?? (await this.scope(reference));
    return fields.map((field) => this.variable(field));
  }

  private variable({ name, value, children, gpa }: Field): DebugProtocol.Variable {
    let variablesReference = 0;
    if (children !== undefined && children.length > 0) {
      variablesReference = this.next++;
      this.groups.set(variablesReference, children);
    }
    return { name, value, variablesReference, ...(gpa === undefined ? {} : { memoryReference: hex(gpa) }) };
  }

  private async scope(reference: number): Promise<readonly Field[]> {
    const { session } = this;
    if (reference === 1) return this.access();
    if (reference === 2) {
      const found: Field[] = [];
      for (const transport of session.view.transports())
        found.push(await deviceField(session.place, transport));
      return found;
    }
    if (reference === 3)
      return session.divergences.map((divergence) => {
        const [value = ''] = divergenceLines(divergence);
        return { name: `step ${divergence.step}`, value };
      });
    return [];
  }

  private async access(): Promise<readonly Field[]> {
    const { session } = this;
    const { steps, position } = session;
    if (session.atEnd) return [{ name: 'end', value: 'of the recording' }];
    const fields: Field[] = [
      { name: 'step', value: String(steps.step[position]!) },
      { name: 'device', value: steps.deviceName(steps.transport[position]!) },
      { name: 'register', value: steps.register(position) },
      { name: 'direction', value: steps.write[position] === 1 ? 'write' : 'read' },
      { name: 'value', value: hex(steps.value[position]!) },
      { name: 'size', value: String(steps.size[position]!) },
    ];
    if (steps.vcpu[position] !== NO_VCPU) fields.push({ name: 'vcpu', value: String(steps.vcpu[position]!) });
    for (const [n, chain] of (await session.chains()).entries()) fields.push(chainField(chain, n));
    return fields;
  }
}

import type { DebugProtocol } from '@vscode/debugprotocol';
import { isTraceError, TraceError } from '../../trace/errors.ts';
import type { JsonValue } from '../../trace/json-check.ts';
import type { Breakpoint } from '../debug/breakpoints.ts';
import type { DebugSession } from '../debug/session.ts';
import { positionOf } from './listing.ts';

interface Verified {
  breakpoints: DebugProtocol.Breakpoint[];
}

/** The breakpoints of an editor, which always sends all of one kind: those in lines, and those by name. */
export class EditorBreakpoints {
  private readonly session: DebugSession;
  private lines: number[] = [];
  private names: number[] = [];

  constructor(session: DebugSession) {
    this.session = session;
  }

  /** Ids of those by name. */
  get byName(): readonly number[] {
    return this.names;
  }

  setLines(args: JsonValue): Verified {
    const asked = args.maybe('breakpoints', (list) =>
      list.list((item) => ({
        line: item.get('line').integer(1),
        condition: item.maybe('condition', (text) => text.text()),
      })),
    );
    this.remove(this.lines);
    this.lines = [];
    const { session } = this;
    return this.add(this.lines, asked ?? [], ({ line, condition }) => {
      const position = positionOf(session.steps, line);
      if (position === undefined) throw new TraceError('E_USAGE', 'no access in this line');
      const made = session.breakpointAt(position, condition === '' ? undefined : condition);
      session.breakpoints.push(made);
      return made;
    });
  }

  /** Names are places of the prompt's command `break`: blk0.QueueNotify, blk0 queue 0, memory 0x40000000+16. */
  setNames(args: JsonValue): Verified {
    const asked = args.get('breakpoints').list((item) => ({
      name: item.get('name').text(),
      condition: item.maybe('condition', (text) => text.text()) ?? '',
    }));
    this.remove(this.names);
    this.names = [];
    return this.add(this.names, asked, ({ name, condition }) =>
      this.session.addBreakpoint(condition === '' ? name : `${name} if ${condition}`),
    );
  }

  private remove(ids: readonly number[]): void {
    for (const id of ids) this.session.removeBreakpoint(id);
  }

  /** Those not understood say why. */
  private add<T>(ids: number[], asked: readonly T[], make: (one: T) => Breakpoint): Verified {
    const breakpoints = asked.map((one): DebugProtocol.Breakpoint => {
      try {
        const { id } = make(one);
        ids.push(id);
        return { id, verified: true };
      } catch (error) {
        if (!isTraceError(error)) throw error;
        return { verified: false, message: error.message };
      }
    });
    return { breakpoints };
  }
}

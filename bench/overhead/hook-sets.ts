/** One way to record. */
export interface HookSet {
  name: string;
  title: string;
  /** Words for `trace record`. */
  words: readonly string[];
  /** The live line is drawn: needs a terminal. */
  live?: true;
  /** The board's script alone, its output thrown away there: nothing is sent, nothing runs on this side. */
  boardOnly?: true;
  /** Says something only of a Xen with the trace points. */
  pointsOnly?: true;
}

export const HOOK_SETS: readonly HookSet[] = [
  { name: 'default', title: 'default', words: [] },
  { name: 'nopoints', title: 'default without points', words: ['--without', 'points'], pointsOnly: true },
  { name: 'live', title: 'default, live line drawn', words: [], live: true },
  { name: 'lean', title: 'default without returns, sched, xen', words: ['--without', 'returns,sched,xen'] },
  { name: 'noreturns', title: 'default without returns', words: ['--without', 'returns'] },
  { name: 'nosched', title: 'default without sched', words: ['--without', 'sched'] },
  { name: 'noxen', title: 'default without xen', words: ['--without', 'xen'] },
  { name: 'xen', title: 'only xen', words: ['--hooks', 'xen'] },
  { name: 'qemu', title: "default and QEMU's own trace events", words: ['--with', 'qemu'] },
  {
    name: 'board',
    title: 'default without xen, output thrown away on the board',
    words: [],
    boardOnly: true,
  },
];

import { readFileSync, statSync } from 'node:fs';
import type { Figures } from '../../analyzer/conditions/evaluate.ts';
import type { Report } from '../../analyzer/report/document.ts';
import type { GroupSet } from '../../analyzer/report/group-sets.ts';
import type { GroupKey } from '../../analyzer/stats/group-key.ts';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';
import { refreshFacts } from '../../analyzer/refresh-facts.ts';
import { dom0Thread } from './second-thread.ts';
import { isServerUrl } from './server-url.ts';

/** Bytes of a report that is read: a real one of 4096 groups has some 20 MB. */
const MOST_BYTES = 256 * 2 ** 20;

export interface Operand extends Figures {
  readonly report: Report;
  /** A part of the trace is damaged. */
  readonly damage: TraceError | undefined;
}

export interface Asked {
  /** Groups beside those of the report. */
  readonly sets: readonly GroupSet[];
  /** The report's own groups. */
  readonly by?: readonly GroupKey[];
  readonly slowest: number;
  /** Whether a report that was kept will do, too. */
  readonly reports: boolean;
  /** Of a trace in a database: only spans for which this holds. */
  readonly where?: string;
  /** 1 or 2; undefined: where a second one pays. */
  readonly threads?: 1 | 2;
}

/** The figures of a trace directory, of a report that was kept as JSON, or of a trace in a database. */
export async function readOperand(cli: Cli, place: string, asked: Asked): Promise<Operand> {
  if (isServerUrl(place)) return onServer(cli, place, asked);
  const stat = statSync(place, { throwIfNoEntry: false });
  const report = asked.reports && stat?.isFile() === true;
  return report ? stored(place, stat.size) : analyzed(cli, place, asked);
}

async function analyzed(cli: Cli, dir: string, { sets, by = [], slowest, threads }: Asked): Promise<Operand> {
  const thread = await dom0Thread(cli, dir, threads);
  try {
    const [{ analyzeTrace }, { GroupSets }, { openSealed }] = await Promise.all([
      import('../../analyzer/report/build.ts'),
      import('../../analyzer/report/group-sets.ts'),
      import('./open-trace.ts'),
    ]);
    const trace = await openSealed(cli, dir);
    refreshFacts(trace);
    const groups = new GroupSets(sets);
    const report = analyzeTrace(trace, {
      path: dir,
      by,
      slowest,
      warnings: trace.warnings,
      dom0Thread: thread?.of(trace),
      ...(sets.length > 0 && { onSpans: groups.consume }),
    });
    if (report.counts.events === 0)
      throw new TraceError('E_NO_DATA', 'the trace holds no events', { source: dir });
    if (groups.cut) report.warnings.push(`${dir}: too many groups to compare them all`);
    return {
      report,
      groups: [...groups.reports(trace.manifest.devices), ...report.groups],
      damage: trace.damage[0],
    };
  } finally {
    thread?.close();
  }
}

/** The server counts one grouping at a time. */
async function onServer(cli: Cli, url: string, { sets, by = [], slowest, where }: Asked): Promise<Operand> {
  const only = where === undefined ? {} : { where };
  const { serverReport } = await import('./server-report.ts');
  const report = await serverReport(cli, url, { by, slowest, ...only });
  const groups = [...report.groups];
  for (const set of sets) {
    const { groups: more } = await serverReport(cli, url, { by: set.by, slowest: 0, ...only });
    groups.push(...more.filter(({ family }) => family === set.family));
  }
  return { report, groups, damage: undefined };
}

async function stored(path: string, size: number): Promise<Operand> {
  if (size > MOST_BYTES)
    throw new TraceError('E_UNSUPPORTED', 'the file is too large for a report', { source: path });
  const { readReport } = await import('../../analyzer/report/read-report.ts');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new TraceError('E_UNREADABLE', (error as Error).message, { source: path });
  }
  if (text === '') throw new TraceError('E_EMPTY', 'the file is empty', { source: path });
  const report = readReport(text, path);
  return { report, groups: report.groups, damage: undefined };
}

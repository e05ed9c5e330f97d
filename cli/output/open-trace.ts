import { isUnsealed } from '../../collector/record/recording-file.ts';
import type { OpenTrace } from '../../trace/open.ts';
import { openTrace } from '../../trace/open.ts';
import type { Cli } from '../cli.ts';
import { TOOL_NAME } from '../version.ts';

/** Opens a trace; one whose recorder was killed is sealed first. Rejects as openTrace throws. */
export async function openSealed(cli: Cli, dir: string): Promise<OpenTrace> {
  if (isUnsealed(dir)) {
    const { sealIfNeeded } = await import('../../collector/record/open-recording.ts');
    const sealed = await sealIfNeeded(dir, { name: TOOL_NAME, version: cli.version });
    if (sealed !== undefined) cli.warn(`${dir}: its recorder was killed; the trace is sealed now`);
  }
  return openTrace(dir);
}

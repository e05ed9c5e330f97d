import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { analyzeCommand } from './analyze.ts';
import { completionCommand } from './completion.ts';
import { debugAdapterCommand } from './debug-adapter.ts';
import { compareCommand } from './compare.ts';
import { diffCommand } from './diff.ts';
import { exportCommand } from './export.ts';
import { importCommand } from './import.ts';
import { infoCommand } from './info.ts';
import { loadCommand } from './load.ts';
import { manCommand } from './man.ts';
import { probeCommand } from './probe.ts';
import { recordCommand } from './record.ts';
import { replayCommand } from './replay.ts';
import { sqlCommand } from './sql.ts';
import { trendCommand } from './trend.ts';
import { viewCommand } from './view.ts';

/**
 * Adds one command to the program. Its action may throw TraceError; others are faults of ours. What only the
 * action needs it imports itself: Arrow, decoders and analysis take longer to load than the rest to run.
 */
export type RegisterCommand = (program: Command, cli: Cli) => void;

/** Every command, in the order of the help. */
export const COMMANDS: readonly RegisterCommand[] = [
  recordCommand,
  probeCommand,
  importCommand,
  infoCommand,
  analyzeCommand,
  diffCommand,
  compareCommand,
  exportCommand,
  sqlCommand,
  loadCommand,
  trendCommand,
  viewCommand,
  replayCommand,
  debugAdapterCommand,
  completionCommand,
  manCommand,
];

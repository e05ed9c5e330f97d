import type { Upgrader } from './upgrade.ts';

/** Every step there is, oldest first. Version 1 is the first version, so there is none yet. */
export const UPGRADERS: readonly Upgrader[] = [];

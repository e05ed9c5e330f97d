/**
 * What an import can leave out although it is there: the Arm trace points (kinds 30 to 39), as if Xen was not patched,
 * or only the clock constant that they and Dom0's kernel tell.
 */
export const IGNORABLE = ['trace-points', 'clock-constant'] as const;
export type Ignorable = (typeof IGNORABLE)[number];

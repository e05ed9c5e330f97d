import type { Page } from 'playwright-core';

export interface Step {
  /** Of its picture: docs/walk-NAME.png. */
  name: string;
  act: (page: Page) => Promise<void>;
}
export const MOUSE: readonly Step[];
export const KEYBOARD: readonly Step[];

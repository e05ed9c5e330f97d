import { existsSync, readFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';

/** The page's process: of the renderers the one that worked most. */
export async function rendererOf(browser: Browser): Promise<{ id: number; cpuTime: number }> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  const renderers = processInfo.filter((p) => p.type === 'renderer');
  return renderers.sort((x, y) => y.cpuTime - x.cpuTime)[0] ?? { id: 0, cpuTime: NaN };
}

/** Its private memory, bytes; NaN where there is no /proc. */
export async function residentBytes(browser: Browser): Promise<number> {
  const status = `/proc/${(await rendererOf(browser)).id}/status`;
  if (!existsSync(status)) return NaN;
  return Number(/RssAnon:\s+(\d+) kB/.exec(readFileSync(status, 'utf8'))?.[1]) * 1024;
}

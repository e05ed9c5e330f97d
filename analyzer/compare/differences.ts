import type { Report } from '../report/document.ts';

const HOST = [
  ['xenVersion', 'Xen'],
  ['linuxVersion', 'Dom0 Linux'],
  ['machine', 'machine'],
  ['deviceModel', 'device model'],
  ['counterHz', 'counter'],
] as const;

/** What makes figures of two recordings two different things: the hosts, the hooks, what a latency is. In words. */
export function differences(a: Report, b: Report): string[] {
  const found: string[] = [];
  for (const [key, name] of HOST) {
    const [x, y] = [a.trace.host[key], b.trace.host[key]];
    if (x !== y) found.push(`${name}: ${x ?? 'unknown'} in A, ${y ?? 'unknown'} in B`);
  }
  for (const family of ['mmio', 'interrupts', 'requests'] as const) {
    const [x, y] = [a[family], b[family]];
    if (x.total.count === 0 || y.total.count === 0) continue;
    if (x.title !== y.title)
      found.push(`the total of ${family} is "${x.title}" in A, "${y.title}" in B: other hooks were on`);
    const names = [x, y].map((f) => f.stages.filter((s) => s.count > 0).map((s) => s.name));
    for (const [here, there, side] of [
      [names[0]!, names[1]!, 'A'],
      [names[1]!, names[0]!, 'B'],
    ] as const) {
      const only = here.filter((name) => !there.includes(name));
      if (only.length > 0) found.push(`only ${side} shows of ${family}: ${only.join(', ')}`);
    }
  }
  for (const [report, side] of [
    [a, 'A'],
    [b, 'B'],
  ] as const) {
    const lost = report.counts.lost;
    if (lost > 0) found.push(`${side} lost ${lost} records`);
    if (!report.trace.complete) found.push(`${side} is not complete`);
  }
  return found;
}

import { expect, it } from 'vitest';
import { importAndAnalyze } from '../../fixtures/analyzed.ts';
import { withCapture } from '../../fixtures/captures.ts';
import { reportText } from './report-text.ts';
import { styleFor } from './style.ts';

/** The text from one title to another: its rows with what stands behind the numbers, without these and histograms. */
function outline(text: string, from: string, to: string): string[] {
  const rows = text
    .slice(text.indexOf(from), text.indexOf(`\n${to}`))
    .split('\n')
    .slice(2);
  return rows
    .filter((row) => row !== '' && !row.includes('▇') && !row.includes(' … '))
    .map((row) => {
      const cells = row.trim().split(/ {2,}/);
      return cells.filter((cell) => !/^(-|[\d.,]+( [nµm]?s| %)?)$|·|█/.test(cell)).join(' | ');
    });
}

async function textOf(capture: string): Promise<string> {
  const { report } = await withCapture(capture, (dir) => importAndAnalyze([dir]));
  return reportText(report, styleFor(false, {}));
}

it('shows interrupts from the raise to the acknowledge, stage by stage', async () => {
  const text = await textOf('P1');
  expect(outline(text, 'Interrupts, end to end', 'Interrupt injection')).toMatchInlineSnapshot(`
    [
      "device model raises the line → guest reads InterruptStatus",
      "device model raises the line → vGIC injects",
      "vGIC injects → vCPU runs",
      "vCPU runs → list register filled",
      "≤ list register filled → seen active | beside",
      "list register filled → guest reads InterruptStatus",
      "vCPU preempted (in no other stage)",
      "guest reads InterruptStatus → guest writes InterruptACK | after",
      "≤ guest writes InterruptACK → retired | after",
      "stages between the hypervisor and Dom0 carry the clock error",
      "before the raise, as a stage of virtio requests: used → interrupt raised, p50 1.003 ms",
      "line | raised | injected | list register | re-pended | merged | already queued | taken | retired | level 0 | sums",
      "blk0, SPI 33 | hold",
      "injected = list register + re-pended + merged + already queued",
    ]
  `);
  expect(outline(text, 'Interrupt injection in Xen', 'Virtio requests')).toMatchInlineSnapshot(`
    [
      "vGIC injects → list register filled",
      "vGIC injects → vCPU runs",
      "vCPU runs → list register filled",
      "≤ list register filled → seen active | beside",
      "≤ seen active → retired | after",
      "vCPU preempted (in no other stage)",
      "when it was injected | n | mean | p50 | p90 | p99 | p99.9 | max",
      "the vCPU ran",
      "it slept",
      "vGIC injects → vCPU runs",
      "vCPU runs → list register filled",
    ]
  `);
});

it('names the stages that an unpatched Xen hides', async () => {
  const rows = outline(await textOf('A2'), 'Interrupts, end to end', 'Virtio requests');
  expect(rows).toMatchInlineSnapshot(`
    [
      "device model raises the line → guest reads InterruptStatus",
      "device model raises the line → vGIC injects | not seen without Xen's trace points",
      "vGIC injects → vCPU runs | not seen without Xen's trace points",
      "vCPU runs → list register filled | not seen without Xen's trace points",
      "≤ list register filled → seen active | not seen without Xen's trace points",
      "list register filled → guest reads InterruptStatus | not seen without Xen's trace points",
      "vCPU preempted (in no other stage) | not seen without Xen's trace points",
      "together: device model raises the line → guest reads InterruptStatus",
      "guest reads InterruptStatus → guest writes InterruptACK | after",
      "≤ guest writes InterruptACK → retired | not seen without Xen's trace points",
      "stages between the hypervisor and Dom0 carry the clock error",
      "before the raise, as a stage of virtio requests: used → interrupt raised, p50 30.08 ms",
      "line | raised | taken",
      "blk0, SPI 33",
    ]
  `);
});

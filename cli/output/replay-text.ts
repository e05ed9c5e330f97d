import type { ByteDifference, Divergence, ReplayResult } from '../../replayer/result.ts';
import { escapeText } from './escape.ts';
import type { Style } from './style.ts';
import { bytes, count, hex } from './units.ts';

const MOST_SHOWN = 10;
/** With the bytes around. */
const MOST_DUMPED = 3;
const LINE_BYTES = 16;

/** What a replay found, for people: what was replayed, how much of it was compared, the first differences. */
export function replayText(result: ReplayResult, style: Style): string {
  const parts = [head(result, style), compared(result), final(result)];
  if (result.divergences.length > 0) parts.push(divergences(result, style));
  parts.push(reservations(result));
  return parts.filter((part) => part !== '').join('\n\n');
}

function head(result: ReplayResult, style: Style): string {
  const { recording, target, level, levelReason, devices, runs } = result;
  const from = recording.path === undefined ? '' : ` of ${escapeText(recording.path)}`;
  const names = devices.map(
    ({ name, transport, version, base, spi }) =>
      `${escapeText(name)} (transport ${transport} at ${hex(base)}, ${version === 1 ? 'legacy' : 'modern'}, SPI ${spi})`,
  );
  const lines = [
    verdict(result, style),
    `${count(recording.records)} records${from}, ${count(recording.accesses)} accesses, into ${escapeText(target)}`,
    ...names.map((name) => `  ${name}`),
    `level: ${level}${levelReason === undefined ? '' : ` (${levelReason})`}`,
  ];
  const { events } = recording;
  if (events !== undefined && events.holes > 0)
    lines.push(
      `${count(events.holes)} places where accesses may be missing (${count(events.losses)} losses, ` +
        `${count(events.unknown)} ioreqs of unknown content): devices are taken up again where their drivers reset them`,
    );
  const times = runs.map(({ wallMs }) => wallMs);
  const hashes = new Set(runs.map(({ hash }) => hash));
  if (runs.length > 1) {
    const same = hashes.size === 1 ? 'all the same' : style.red(`${hashes.size} different ones`);
    lines.push(`${runs.length} runs of ${Math.min(...times)} to ${Math.max(...times)} ms, hashes: ${same}`);
  } else lines.push(`${times[0] ?? 0} ms, hash ${runs[0]?.hash.slice(0, 16) ?? ''}`);
  return lines.join('\n');
}

function verdict(result: ReplayResult, style: Style): string {
  const red = (text: string): string => style.bold(style.red(text));
  if (result.proven) return style.bold('EQUAL: everything that was recorded came out again');
  if (result.equal) return style.bold('EQUAL in all that was compared; not proven, see below');
  if (result.stopped !== undefined)
    return red(`DIFFERS: ended at step ${result.stopped.step}: ${result.stopped.why}`);
  const many = result.divergenceCount === 1 ? '1 difference' : `${count(result.divergenceCount)} differences`;
  return red(`DIFFERS: ${many}`);
}

function compared({ compared: of, racy, level }: ReplayResult): string {
  if (level === 'registers')
    return `${count(of.reads)} register reads compared, ${count(of.writes)} register writes fed`;
  const lines = [
    `${count(of.reads)} register reads and ${count(of.usedElements)} used elements compared, ` +
      `${count(of.buffers)} buffers (${bytes(of.bufferBytes)}), ${count(of.interrupts)} interrupt changes`,
    `${count(of.writes)} register writes and ${bytes(of.memoryBytes)} of guest memory (${count(of.memoryRecords)} records) fed`,
  ];
  if (of.disks > 0)
    lines.push(`${of.disks === 1 ? '1 disk' : `${count(of.disks)} disks`} compared with the image given`);
  if (racy.elements > 0)
    lines.push(`${count(racy.elements)} used elements are racy, of which ${count(racy.differing)} differ`);
  return lines.join('\n');
}

function final({ final: held, devices }: ReplayResult): string {
  const name = (transport: number): string =>
    escapeText(devices.find((device) => device.transport === transport)?.name ?? `transport ${transport}`);
  const lines = [
    ...held.disks.map((disk) => {
      const as = disk.asGiven === undefined ? '' : disk.asGiven ? ', as given' : ', NOT as given';
      return `  ${name(disk.transport)}: disk of ${bytes(disk.bytes)}, sha256 ${disk.sha256.slice(0, 16)}${as}`;
    }),
    ...held.sent.map(
      (sent) =>
        `  ${name(sent.transport)}: ${count(sent.frames)} frames sent, ${bytes(sent.bytes)}, sha256 ${sent.sha256.slice(0, 16)}`,
    ),
    ...held.output.map((out) => {
      const text = out.text.length > 60 ? `${out.text.slice(0, 60)}…` : out.text;
      return `  ${name(out.transport)} port ${out.port}: ${bytes(out.bytes)} of output, sha256 ${out.sha256.slice(0, 16)}: ${escapeText(text)}`;
    }),
    ...held.screens.map(
      (screen) =>
        `  ${name(screen.transport)}: screen ${screen.width} x ${screen.height}, sha256 ${screen.sha256.slice(0, 16)}`,
    ),
  ];
  return lines.length === 0 ? '' : ['in the end:', ...lines].join('\n');
}

function divergences({ divergences: found, divergenceCount }: ReplayResult, style: Style): string {
  const shown = found.slice(0, MOST_SHOWN);
  const rest = divergenceCount - shown.length;
  const lines = shown.map((divergence, i) => one(divergence, style, i < MOST_DUMPED));
  if (rest > 0) lines.push(`and ${count(rest)} more`);
  return lines.join('\n');
}

function one(divergence: Divergence, style: Style, dumped: boolean): string {
  const { step, device, register, queue, element, id, field, expected, got, memory } = divergence;
  const where = [
    register,
    queue === undefined ? undefined : `queue ${queue}`,
    element === undefined ? undefined : `used element ${element} (head ${id ?? '?'})`,
    register === undefined ? field : undefined,
  ].filter((part) => part !== undefined);
  const racy = divergence.racy === true ? ' (racy: proves nothing)' : '';
  const line = `${style.red(`step ${step}`)}: ${escapeText(device)}: ${where.join(', ')}: recorded ${expected}, got ${got}${racy}`;
  return memory === undefined || !dumped ? line : `${line}\n${dump(memory, style)}`;
}

/** Both sides' bytes around the first that differs, 16 a line; lines that are equal only once. */
function dump(memory: ByteDifference, style: Style): string {
  const { start, expected, got, differing, length, gpa } = memory;
  const lines = [`    ${count(differing)} of ${count(length)} bytes differ`];
  const most = Math.max(expected.length, got.length) / 2;
  for (let at = 0; at < most; at += LINE_BYTES) {
    const was = expected.slice(2 * at, 2 * (at + LINE_BYTES));
    const is = got.slice(2 * at, 2 * (at + LINE_BYTES));
    const place = hex(gpa + start + at);
    if (was === is) lines.push(style.dim(`    ${place}            ${spaced(was)}`));
    else lines.push(`    ${place}  recorded  ${spaced(was)}`, `    ${place}  got       ${spaced(is)}`);
  }
  return lines.join('\n');
}

const spaced = (digits: string): string => digits.replace(/..(?=.)/g, '$& ');

function reservations({ unproven, ignored, skipped }: ReplayResult): string {
  const lines = [
    ...unproven.map((why) => `not proven: ${why}`),
    ...skipped.map(({ what, count: times }) => `not replayed: ${count(times)} ${escapeText(what)}`),
    ...ignored
      .filter(({ policy, count: times }) => policy !== 'irq-position' || times > 0)
      .map(({ policy, why, count: times }) => `ignored (${policy}): ${count(times)} differences: ${why}`),
  ];
  return lines.join('\n');
}

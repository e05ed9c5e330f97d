import type { PageData } from '../../analyzer/page/page-format.ts';
import { SPAN_FAMILIES } from '../../trace/manifest.ts';

type Json = Record<string, unknown>;

function need(holds: boolean, path: string, what: string): void {
  if (!holds) throw new Error(`the page's data are damaged: ${path} is not ${what}`);
}

const object = (value: unknown, path: string): Json => {
  need(typeof value === 'object' && value !== null && !Array.isArray(value), path, 'an object');
  return value as Json;
};
const list = (value: unknown, path: string, most: number): unknown[] => {
  need(Array.isArray(value) && value.length <= most, path, `a list of at most ${most}`);
  return value as unknown[];
};
const text = (value: unknown, path: string): string => {
  need(typeof value === 'string', path, 'a text');
  return value as string;
};
const index = (value: unknown, path: string, from: number, to: number): void => {
  need(
    Number.isInteger(value) && Number(value) >= from && Number(value) < to,
    path,
    `from ${from} to below ${to}`,
  );
};

/** Lists of the report that the page walks, and what must be in them. */
const LISTS: readonly [string, string][] = [
  ['devices', 'name'],
  ['warnings', ''],
];

/**
 * What the page takes for granted of its data, checked: they come from files of strangers. Every text is shown as
 * text, every number as a number, so what is not checked here can be wrong but do no harm. Throws an Error with the
 * path of what is wrong.
 */
export function checkPageData(value: unknown): PageData {
  const data = object(value, '$');
  if (typeof data['version'] === 'number' && data['version'] > 1) {
    throw new Error(`the page's data are of version ${data['version']}; this page reads version 1`);
  }
  need(data['version'] === 1, '$.version', '1');
  checkReport(object(data['report'], '$.report'));
  for (const [n, table] of list(data['tables'], '$.tables', SPAN_FAMILIES.length).entries()) {
    checkTable(object(table, `$.tables[${n}]`), `$.tables[${n}]`);
  }
  if (data['rows'] !== undefined) checkRows(object(data['rows'], '$.rows'));
  return value as PageData;
}

function checkRows(rows: Json): void {
  text(rows['id'], '$.rows.id');
  for (const chunks of Object.values(object(rows['chunks'], '$.rows.chunks'))) {
    for (const item of list(chunks, '$.rows.chunks', 1e6)) {
      const chunk = object(item, '$.rows.chunks');
      for (const n of ['at', 'bytes', 'rows', 'from', 'to'])
        need(Number.isFinite(chunk[n]), `$.rows.chunks.${n}`, 'a number');
    }
  }
}

function checkReport(report: Json): void {
  for (const [name, member] of LISTS) {
    for (const item of list(report[name] ?? [], `$.report.${name}`, 100_000)) {
      text(member === '' ? item : object(item, `$.report.${name}`)[member], `$.report.${name}`);
    }
  }
  for (const name of ['trace', 'counts', 'clock', 'mmio', 'interrupts', 'requests']) {
    const part = object(report[name] ?? {}, `$.report.${name}`);
    for (const [key, members] of [
      ['left_out', ['why']],
      ['stages', ['name']],
      ['by_source', ['what']],
      ['depth', ['device']],
    ] as const) {
      for (const item of list(part[key] ?? [], `$.report.${name}.${key}`, 10_000)) {
        for (const m of members) text(object(item, `$.report.${name}.${key}`)[m], `$.report.${name}.${key}`);
      }
    }
    for (const key of ['total', 'injection', 'host']) object(part[key] ?? {}, `$.report.${name}.${key}`);
  }
  if (report['replay'] !== undefined) checkReplay(object(report['replay'], '$.report.replay'));
  const interrupts = report['interrupts'] as Json | undefined;
  const whole = '$.report.interrupts.end_to_end';
  const way = object(interrupts?.['end_to_end'] ?? {}, whole);
  for (const stage of list(way['stages'] ?? [], `${whole}.stages`, 100)) {
    const { name, why } = object(stage, `${whole}.stages`);
    text(name, `${whole}.stages.name`);
    text(why ?? '', `${whole}.stages.why`);
  }
  const injection = interrupts?.['injection'];
  if (injection !== undefined && injection !== null) checkReport({ mmio: injection });
}

function checkReplay(replay: Json): void {
  for (const key of ['target', 'level']) text(replay[key], `$.report.replay.${key}`);
  for (const item of list(replay['divergences'], '$.report.replay.divergences', 1000)) {
    const divergence = object(item, '$.report.replay.divergences');
    for (const key of ['where', 'field', 'expected', 'got'])
      text(divergence[key], `$.report.replay.divergences.${key}`);
    for (const n of [divergence['step'], divergence['at_ns'] ?? 0])
      need(Number.isFinite(n), '$.report.replay.divergences', 'at a number');
  }
}

function checkTable(table: Json, path: string): void {
  const plan = object(table['plan'], `${path}.plan`);
  need(
    SPAN_FAMILIES.some((f) => f === table['family']) && plan['family'] === table['family'],
    `${path}.family`,
    'a family of spans',
  );
  text(plan['title'], `${path}.plan.title`);
  const boundaries = list(plan['boundaries'], `${path}.plan.boundaries`, 64).map((b) => {
    const { name, clock } = object(b, `${path}.plan.boundaries`);
    text(clock, `${path}.plan.boundaries`);
    return text(name, `${path}.plan.boundaries`);
  });
  const preempted = list(plan['preempted'], `${path}.plan.preempted`, 64);
  for (const name of preempted) text(name, `${path}.plan.preempted`);
  const stages = list(plan['stages'], `${path}.plan.stages`, 128);
  for (const [n, item] of stages.entries()) {
    const stage = object(item, `${path}.plan.stages[${n}]`);
    text(stage['title'], `${path}.plan.stages[${n}].title`);
    text(stage['name'], `${path}.plan.stages[${n}].name`);
    for (const end of ['from', 'to']) {
      const known = boundaries.includes(stage[end] as string);
      need(known, `${path}.plan.stages[${n}].${end}`, 'one of the boundaries');
    }
    index(stage['preempted'], `${path}.plan.stages[${n}].preempted`, -1, preempted.length);
  }
  for (const end of ['totalFrom', 'totalTo']) index(plan[end], `${path}.plan.${end}`, 0, boundaries.length);
  need(((table['sliceNs'] ?? 1) as number) > 0, `${path}.sliceNs`, 'a length');
  for (const n of ['spans', 'rows', 'slowest', 'weight']) {
    need(typeof table[n] === 'number', `${path}.${n}`, 'a number');
  }
}

import type { PageData } from '../../analyzer/page/page-format.ts';
import type { SpanFamily, Stage } from '../../trace/spans.ts';
import { stageColour } from '../colours.ts';
import type { Frame } from '../engine/query.ts';
import type { Group } from '../engine/table.ts';
import { deviceName, dirName, keyName, safeText } from '../format.ts';
import type { FlameWeight } from '../state.ts';

export interface FlameNode {
  name: string;
  /** ns, or number of spans. */
  value: number;
  count: number;
  /** null for what is no stage. */
  colour: string | null;
  /** Names from the root, joined: stable while the figures change. */
  path: string;
  children: FlameNode[];
}

export const UNEXPLAINED = 'between seen boundaries';

/** Folds device; queue or register; direction; stage. Siblings by size, but stages in their own order. */
export function flameTree(
  data: PageData,
  family: SpanFamily,
  stages: readonly Stage[],
  groups: readonly Group[],
  frames: readonly Frame[],
  weight: FlameWeight,
): FlameNode {
  const root = node('all', '');
  for (const frame of frames) {
    const group = groups[frame.group];
    if (group === undefined) continue;
    const value =
      weight === 'count' ? frame.count : frame.stages.reduce((sum, ns) => sum + Math.max(0, ns), 0);
    const path = [deviceName(data, group.device), keyName(family, group.key), dirName(family, group.dir)];
    let at = root;
    add(at, value, frame.count);
    for (const name of path) {
      if (name === '') continue;
      at = child(at, name);
      add(at, value, frame.count);
    }
    if (weight === 'count') continue;
    frame.stages.forEach((ns, s) => {
      if (!(ns > 0)) return;
      const stage = child(at, s < stages.length ? safeText(stages[s]!.title) : UNEXPLAINED);
      stage.colour = s < stages.length ? stageColour(s) : '#9a9a9a';
      add(stage, ns, frame.count);
    });
  }
  sort(root);
  return root;
}

const node = (name: string, path: string): FlameNode => ({
  name,
  value: 0,
  count: 0,
  colour: null,
  path,
  children: [],
});

function child(parent: FlameNode, name: string): FlameNode {
  const known = parent.children.find((c) => c.name === name);
  if (known !== undefined) return known;
  const made = node(name, `${parent.path};${name}`);
  parent.children.push(made);
  return made;
}

function add(to: FlameNode, value: number, count: number): void {
  to.value += value;
  to.count += count;
}

function sort(at: FlameNode): void {
  if (at.children[0]?.colour === null) at.children.sort((a, b) => b.value - a.value);
  at.children.forEach(sort);
}

export function findNode(root: FlameNode, path: string): FlameNode[] | null {
  if (root.path === path) return [root];
  for (const next of root.children) {
    const found = findNode(next, path);
    if (found !== null) return [root, ...found];
  }
  return null;
}

/** Every path with its weight, as folded lines would have it. */
export function folded(root: FlameNode): { path: string; node: FlameNode }[] {
  if (root.children.length === 0) return root.path === '' ? [] : [{ path: root.path.slice(1), node: root }];
  return root.children.flatMap(folded);
}

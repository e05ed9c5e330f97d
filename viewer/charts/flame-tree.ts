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
  /** In a comparison: ns a span in the other trace. */
  other?: number;
  /** Names from the root, joined: stable while the figures change. */
  path: string;
  children: FlameNode[];
}

export const UNEXPLAINED = 'between seen boundaries';

/** Stages in which the vCPU is descheduled, waiting for the answer or for a CPU, by the boundary they begin at. */
const STALLED = ['send', 'offline', 'dom0_irq', 'dm_read', 'service', 'answer', 'wake'];

/**
 * Folds device; queue or register; direction; stage (`inverted`: stage first). Siblings by size, but stages in their
 * own order.
 */
export function flameTree(
  data: PageData,
  family: SpanFamily,
  stages: readonly Stage[],
  groups: readonly Group[],
  frames: readonly Frame[],
  weight: FlameWeight,
  inverted = false,
): FlameNode {
  const root = node('all', '');
  for (const frame of frames) {
    const group = groups[frame.group];
    if (group === undefined) continue;
    const path = [
      deviceName(data, group.device),
      keyName(family, group.key),
      dirName(family, group.dir),
    ].filter((name) => name !== '');
    // A span is in several stages, and counts once in whatever they are below.
    const counted = new Set<FlameNode>();
    const give = (to: FlameNode, value: number): void => {
      to.value += value;
      if (!counted.has(to)) to.count += frame.count;
      counted.add(to);
    };
    const put = (names: readonly string[], value: number, stage: number): void => {
      let at = root;
      give(at, value);
      for (const [n, name] of names.entries()) {
        at = child(at, name);
        give(at, value);
        if (stage >= 0 && n === (inverted ? 0 : names.length - 1)) {
          at.colour = stage < stages.length ? stageColour(stage) : '#9a9a9a';
        }
      }
    };
    if (weight === 'count') {
      put(inverted ? path.reverse() : path, frame.count, -1);
      continue;
    }
    frame.stages.forEach((ns, s) => {
      const stage = stages[s];
      if (!(ns > 0) || (weight === 'stalled' && !STALLED.includes(stage?.from ?? ''))) return;
      const names = [...path, stage === undefined ? UNEXPLAINED : safeText(stage.title)];
      put(inverted ? names.reverse() : names, ns, s);
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

/** Nodes whose name holds `text`, and the share of the whole that they and what is below them take. */
export function searchTree(root: FlameNode, text: string): { found: Set<FlameNode>; share: number } {
  const found = new Set<FlameNode>();
  const wanted = text.toLowerCase();
  const visit = (at: FlameNode, counted: boolean): number => {
    const hit = at.name.toLowerCase().includes(wanted);
    if (hit) found.add(at);
    const below = at.children.reduce((sum, c) => sum + visit(c, counted || hit), 0);
    return hit && !counted ? at.value : below;
  };
  const value = wanted === '' ? 0 : visit(root, false);
  return { found, share: root.value === 0 ? 0 : value / root.value };
}

/** Two traces in one tree: `value` of the first, `other` of the second, both a span of its whole family. */
export function diffTree(a: FlameNode, b: FlameNode): FlameNode {
  const spans = [Math.max(1, a.count), Math.max(1, b.count)] as const;
  const merge = (x: FlameNode | undefined, y: FlameNode | undefined): FlameNode => {
    const own = (x ?? y)!;
    const names = new Set([...(x?.children ?? []), ...(y?.children ?? [])].map((c) => c.name));
    return {
      ...own,
      value: (x?.value ?? 0) / spans[0],
      other: (y?.value ?? 0) / spans[1],
      colour: null,
      children: [...names].map((name) =>
        merge(
          x?.children.find((c) => c.name === name),
          y?.children.find((c) => c.name === name),
        ),
      ),
    };
  };
  return merge(a, b);
}

/** What a node's width shows: in a comparison the larger of both, so that what is new or gone has room too. */
export function widthOf(node: FlameNode): number {
  if (node.other === undefined) return node.value;
  if (node.children.length === 0) return Math.max(node.value, node.other);
  return Math.max(
    node.value,
    node.other,
    node.children.reduce((sum, c) => sum + widthOf(c), 0),
  );
}

import type { DeviceFacts } from '../../trace/manifest.ts';
import type { SpanBatch, SpanFamily, SpanPlan } from '../../trace/spans.ts';
import type { GroupKey } from '../stats/group-key.ts';
import { compositeKey, compositeLabel } from '../stats/group-key.ts';
import { GroupedStats } from '../stats/grouped-stats.ts';
import type { GroupReport } from './document.ts';
import { distribution, leftOut, stageReports } from './families.ts';

/** What one family's spans are grouped by. */
export interface GroupSet {
  readonly family: GroupReport['family'];
  readonly by: readonly GroupKey[];
}

const FAMILY: Readonly<Record<GroupReport['family'], SpanFamily>> = {
  mmio: 'mmio',
  interrupts: 'interrupt',
  requests: 'request',
};

/** Groups by several combinations of keys in one pass, beside those of the report itself. */
export class GroupSets {
  private readonly sets: readonly (GroupSet & { stats: Map<SpanFamily, GroupedStats> })[];

  constructor(sets: readonly GroupSet[]) {
    this.sets = sets.map((set) => ({ ...set, stats: new Map<SpanFamily, GroupedStats>() }));
  }

  /** Some set had more than MAX_GROUPS groups: the rest is in none. */
  get cut(): boolean {
    return this.sets.some(({ stats }) => [...stats.values()].some(({ cut }) => cut));
  }

  readonly consume = (plan: SpanPlan, batch: SpanBatch): void => {
    for (const { family, by, stats } of this.sets) {
      if (FAMILY[family] !== plan.family) continue;
      let grouped = stats.get(plan.family);
      if (grouped === undefined) stats.set(plan.family, (grouped = new GroupedStats(plan)));
      grouped.addAll(batch, (_batch, i) => compositeKey(plan.family, by, batch, i));
    }
  };

  /** Each set's groups, largest sum of time first. */
  reports(devices: readonly DeviceFacts[]): GroupReport[] {
    return this.sets.flatMap(({ family, by, stats: grouped }) =>
      [...grouped.values()]
        .flatMap(({ groups }) => [...groups])
        .sort((a, b) => b[1].total.sum - a[1].total.sum || a[0] - b[0])
        .map(([key, stats]) => ({
          by: compositeLabel(FAMILY[family], by, key, devices),
          family,
          total: distribution(stats.total),
          stages: stageReports(stats),
          left_out: leftOut(stats),
        })),
    );
  }
}

import type { DeviceFacts } from '../../trace/manifest.ts';
import type { SpanBatch, SpanFamily, SpanPlan } from '../../trace/spans.ts';
import { FamilyStats } from '../stats/family-stats.ts';
import type { GroupKey } from '../stats/group-key.ts';
import { compositeKey, compositeLabel } from '../stats/group-key.ts';
import { MAX_GROUPS } from './build.ts';
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
  /** Some set had more than MAX_GROUPS groups: the rest is in none. */
  cut = false;
  private readonly sets: readonly (GroupSet & { groups: Map<number, FamilyStats> })[];

  constructor(sets: readonly GroupSet[]) {
    this.sets = sets.map((set) => ({ ...set, groups: new Map<number, FamilyStats>() }));
  }

  readonly consume = (plan: SpanPlan, batch: SpanBatch): void => {
    for (const { family, by, groups } of this.sets) {
      if (FAMILY[family] !== plan.family) continue;
      for (let i = 0; i < batch.length; i++) {
        const key = compositeKey(plan.family, by, batch, i);
        if (key < 0) continue;
        let stats = groups.get(key);
        if (stats === undefined) {
          if (groups.size >= MAX_GROUPS) {
            this.cut = true;
            continue;
          }
          groups.set(key, (stats = new FamilyStats(plan)));
        }
        stats.add(batch, i);
      }
    }
  };

  /** Each set's groups, largest sum of time first. */
  reports(devices: readonly DeviceFacts[]): GroupReport[] {
    return this.sets.flatMap(({ family, by, groups }) =>
      [...groups]
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

import type { RuleReport } from './document.ts';
import type { RuleName } from './rules.ts';
import { RULES } from './rules.ts';

/** What rounding to float64 on two axes can make of equal instants. */
const ROUNDING_NS = 1;

/** Counts how often a rule held. */
export class RuleCheck {
  private readonly name: RuleName;
  private checked = 0;
  private held = 0;
  private worst = -Infinity;

  constructor(name: RuleName) {
    this.name = name;
  }

  /** `excess`: by how many ns the span exceeds what the rule allows; 0 or below: it holds. NaN: no case of it. */
  add(excess: number): void {
    if (Number.isNaN(excess)) return;
    this.checked++;
    if (excess <= ROUNDING_NS) this.held++;
    else this.worst = Math.max(this.worst, excess);
  }

  get report(): RuleReport[] {
    if (this.checked === 0) return [];
    const { id, of, statement, certain } = RULES[this.name];
    const worst_ns = this.held === this.checked ? null : this.worst;
    return [{ id, of, statement, certain, checked: this.checked, held: this.held, worst_ns }];
  }
}

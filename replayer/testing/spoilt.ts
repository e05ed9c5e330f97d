import type { MakeTarget, RecordedUsed, ReplayTarget } from '../target.ts';

/** What a faulty device model does otherwise; each gets what the sound one did and says what to do instead. */
export interface Fault {
  answer?: (step: number, value: number) => number;
  level?: (step: number, transport: number, level: 0 | 1) => 0 | 1 | undefined;
  /** After used elements came: may change guest memory. */
  used?: (step: number, used: RecordedUsed, target: ReplayTarget) => boolean | undefined;
}

/** A target that is sound but for one fault. */
export function spoilt(make: MakeTarget, fault: Fault): MakeTarget {
  return (setup, sink) => {
    const target = make(setup, {
      answer: (step, value, high) => {
        sink.answer(step, fault.answer?.(step, value) ?? value, high);
      },
      line: (step, transport, level) => {
        const changed = fault.level === undefined ? level : fault.level(step, transport, level);
        if (changed !== undefined) sink.line(step, transport, changed);
      },
    });
    const sound = target.used.bind(target);
    target.used = async (step, used) => {
      const came = await sound(step, used);
      return fault.used?.(step, used, target) ?? came;
    };
    return target;
  };
}

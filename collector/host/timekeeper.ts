import { linesOf } from './aux-format.ts';
import type { AuxFormat } from './aux-format.ts';

/** Words of a sample: struct tk_fast has 15; a kernel that watches locks puts some before them. */
const MOST_WORDS = 64;
const LEAST_WORDS = 13;
/** A recorder takes a handful. */
const MOST_SAMPLES = 1000;
const SAMPLE = /^tk_fast_raw((?: w\d{1,2}=0x[0-9a-f]{1,16})+)\s*$/;
const REMARK = /^# tk_fast_raw: (.*)$/;

/**
 * The kernel's own parameters of its raw monotonic clock: `tk_fast_raw w0=0x… w1=0x… … w14=0x…`, a line a sample, the
 * u64 words of `struct tk_fast tk_fast_raw` (linux kernel/time/timekeeping.c) as a kprobe event with `wN=@tk_fast_raw+8N:x64`
 * arguments prints them. `# tk_fast_raw: …` says why there is none.
 */
export const timekeeper: AuxFormat = {
  name: 'timekeeper',
  sniff(head) {
    const lines = linesOf(head);
    return lines.length > 0 && lines.every((line) => SAMPLE.test(line) || REMARK.test(line));
  },
  read(text, into) {
    for (const line of text.split('\n', MOST_SAMPLES)) {
      const why = REMARK.exec(line)?.[1];
      if (why !== undefined) into.timekeeperRemark ??= why;
      const words = SAMPLE.exec(line)?.[1]?.trim().split(' ');
      if (words === undefined || words.length < LEAST_WORDS || words.length > MOST_WORDS) continue;
      // In order and complete, or else they are not what they say.
      if (words.some((word, n) => !word.startsWith(`w${n}=`))) continue;
      into.timekeeper.push(words.map((word) => BigInt(word.slice(word.indexOf('=') + 1))));
    }
  },
};

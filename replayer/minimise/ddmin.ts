/** Whether what remains still shows what is looked for. `kept`: the units that remain, rising. */
export type Shows = (kept: Uint32Array) => boolean | Promise<boolean>;

/**
 * Delta debugging: a subset of `units` that still shows it and of which no single unit can be left out (1-minimal).
 * Takes the units away in ever smaller runs, last ones first: what comes late in a recording is needed least.
 * Source: Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002, in the form that only tests
 * complements (as C-Reduce and Hypothesis do): the rest alone seldom is a valid recording.
 *
 * `shows(units)` must hold. Units are numbers that mean something to `shows` alone.
 */
export async function ddmin(units: Uint32Array, shows: Shows): Promise<Uint32Array> {
  let kept = units;
  for (let run = Math.ceil(kept.length / 2); run >= 1 && kept.length > 0;) {
    const before = kept.length;
    for (let end = kept.length; end > 0;) {
      const from = Math.max(0, end - run);
      const without = leaveOut(kept, from, end);
      if (await shows(without)) kept = without;
      end = from;
    }
    // A run of this length that went makes others possible; single units are tried until none goes.
    if (run > 1) run = Math.ceil(run / 2);
    else if (kept.length === before) break;
  }
  return kept;
}

/** The shortest begin of `units` that shows it, if longer begins show it as well; `shows(units)` must hold. */
export async function shortestBegin(units: Uint32Array, shows: Shows): Promise<Uint32Array> {
  let [tooShort, enough] = [-1, units.length];
  while (enough - tooShort > 1) {
    const middle = (enough + tooShort) >>> 1;
    if (await shows(units.subarray(0, middle))) enough = middle;
    else tooShort = middle;
  }
  return units.slice(0, enough);
}

function leaveOut(units: Uint32Array, from: number, to: number): Uint32Array {
  const rest = new Uint32Array(units.length - (to - from));
  rest.set(units.subarray(0, from));
  rest.set(units.subarray(to), from);
  return rest;
}

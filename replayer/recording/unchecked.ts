/**
 * Reads of an ordinary trace that a model cannot be held to, by reason, as a recording's row says it in `rest`
 * (`"unchecked":"given"`). They are neither fed nor compared, and the result counts them.
 */
export const UNCHECKED = {
  given: 'answers that only the host knew (features, queue sizes, configuration): the models were given them',
  amid: 'reads of devices whose state is not known: their driver had set them up before the trace began, or records are missing',
  changed: 'reads of configuration that the host changed meanwhile',
  needsReset: 'reads of Status with NEEDS_RESET, which depends on guest memory',
  wide: 'reads of 8 bytes, of which the trace holds 4',
} as const;

export type Unchecked = keyof typeof UNCHECKED;
export const UNCHECKED_REASONS = Object.keys(UNCHECKED) as readonly Unchecked[];

const MARK = '"unchecked":"';

export function uncheckedText(why: Unchecked | undefined): string {
  return why === undefined ? '' : `${MARK}${why}"`;
}

/** Why the read of a row with these members is not checked; undefined if it is. */
export function uncheckedOf(rest: string): Unchecked | undefined {
  if (!rest.startsWith(MARK)) return undefined;
  return UNCHECKED_REASONS.find((why) => rest.startsWith(`${why}"`, MARK.length));
}

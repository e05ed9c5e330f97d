/**
 * Source ids name files (events-<id>.arrows) in a directory that may come from a stranger: letters, digits
 * and dashes only, so that no id can lead out of the directory.
 */
export function isSourceId(text: string): boolean {
  return /^[a-z0-9][a-z0-9-]{0,63}$/.test(text);
}

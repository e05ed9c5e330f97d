/**
 * What a source may intern: names are few, but texts that somebody writes into the kernel's trace buffer may all be
 * different, and the manifest and the memory must not grow with the length of a recording.
 */
export const MAX_STRINGS = 65_536;
export const MAX_STRING_CHARS = 1 << 24;
/** Stands for every text beyond that. */
export const NOT_KEPT = '(not kept: too many different texts)';

/** Interned strings of one source: events refer to them by number, the manifest holds the list. */
export class StringTable {
  readonly list: string[] = [];
  private readonly index = new Map<string, number>();
  private chars = 0;

  intern(text: string): number {
    const known = this.index.get(text);
    if (known !== undefined) return known;
    const fits = this.list.length < MAX_STRINGS && this.chars + text.length <= MAX_STRING_CHARS;
    if (!fits && text !== NOT_KEPT) return this.intern(NOT_KEPT);
    const id = this.list.length;
    this.list.push(text);
    this.chars += text.length;
    this.index.set(text, id);
    return id;
  }
}

/** Interned strings of one source: events refer to them by number, the manifest holds the list. */
export class StringTable {
  readonly list: string[] = [];
  private readonly index = new Map<string, number>();

  intern(text: string): number {
    const known = this.index.get(text);
    if (known !== undefined) return known;
    const id = this.list.length;
    this.list.push(text);
    this.index.set(text, id);
    return id;
  }
}

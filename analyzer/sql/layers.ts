/**
 * `from` with columns added layer by layer: each may use those before it. A column that is named in an outer query is
 * computed once; a name used within its own SELECT is an expression copied to every use, and a chain of those grows
 * beyond what the server's analyzer does in a second.
 */
export function layered(from: string, ...layers: readonly string[]): string {
  return layers.reduce((inner, columns) => `SELECT *, ${columns} FROM (${inner})`, from);
}

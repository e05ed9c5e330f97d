/** Names that come from a URL or an option, quoted for SQL. Values never go this way: they are parameters. */
export function ident(name: string): string {
  return `\`${name.replace(/[\\`]/g, '\\$&')}\``;
}

export function literal(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}

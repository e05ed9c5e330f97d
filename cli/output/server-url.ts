/** Whether `text` is the URL of a database server rather than the path of a trace: without loading its client. */
export function isServerUrl(text: string): boolean {
  return /^(clickhouses?|https?):\/\//.test(text);
}

/** The URL of a trace by its id, in the database that a URL names. */
export function withTraceId(url: string, id: string): string {
  const [, place = '', options = ''] = /^([^?#]*)(.*)$/.exec(url) ?? [];
  return `${place.replace(/\/+$/, '')}/${encodeURIComponent(id)}${options}`;
}

/** A URL without credentials and options, for messages; a path as it is. */
export function withoutSecrets(place: string): string {
  if (!isServerUrl(place)) return place;
  return place.replace(/^([a-z]+:\/\/)[^/?#]*@/, '$1').replace(/[?#].*$/, '');
}

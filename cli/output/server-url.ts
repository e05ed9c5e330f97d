/** Whether `text` is the URL of a database server rather than the path of a trace: without loading its client. */
export function isServerUrl(text: string): boolean {
  return /^(clickhouses?|https?):\/\//.test(text);
}

/**
 * The CPU that a file's path names: 'cpuN' in the file name, else in a folder's name (nearest first), else the
 * last number in the file name. Raw ring-buffer pages do not tell their CPU themselves.
 */
export function cpuOfPath(path: string): number | undefined {
  const parts = path.split('/').filter((part) => part !== '');
  const name = parts.at(-1) ?? '';
  const inName = /cpu[-_.]?(\d{1,5})/i.exec(name)?.[1];
  const inFolder = parts
    .slice(0, -1)
    .reverse()
    .map((part) => /^cpu(\d{1,5})$/.exec(part)?.[1])
    .find((found) => found !== undefined);
  const number = inName ?? inFolder ?? /(\d{1,5})\D*$/.exec(name)?.[1];
  return number === undefined ? undefined : Number(number);
}

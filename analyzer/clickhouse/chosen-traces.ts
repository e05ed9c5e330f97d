import type { Server } from './server.ts';

export interface ChosenTrace {
  trace: string;
  created: string;
  /** Of the label that was asked for; empty without one. */
  value: string;
  /** It has the label, or none was asked for. */
  labelled: boolean;
}

/** The whole recordings of a database that have all `labels`, in the order in which they were made. */
export async function chosenTraces(
  server: Server,
  { by, labels }: { by?: string; labels: Readonly<Record<string, string>> },
): Promise<ChosenTrace[]> {
  const names = Object.keys(labels);
  const rows = await server.rows<{ trace: string; created: string; value: string; labelled: number }>(
    'SELECT trace, created, labels[{by:String}] AS value, mapContains(labels, {by:String}) AS labelled FROM traces FINAL ' +
      'WHERE arrayAll((k, v) -> mapContains(labels, k) AND labels[k] = v, {names:Array(String)}, {values:Array(String)}) ' +
      'ORDER BY created, trace',
    { by: by ?? '', names, values: names.map((name) => labels[name]!) },
  );
  return rows.map((row) => ({ ...row, labelled: by === undefined || row.labelled !== 0 }));
}

import type { SqlFormat } from '../../analyzer/embedded/formats.ts';
import { sqlOnServer } from '../../analyzer/clickhouse/trace-sql.ts';
import { serverError } from '../../analyzer/clickhouse/server-error.ts';
import type { Cli } from '../cli.ts';
import { TOOL_NAME } from '../version.ts';
import { withNewFileOf } from './new-file.ts';
import { onTrace } from './on-trace.ts';
import { printAnswer } from './sql-answer.ts';

/** Runs a query on clickhouse://host/database/TRACE, to stdout or into a file. */
export async function sqlFromServer(
  cli: Cli,
  url: string,
  query: string,
  format: SqlFormat,
  output: string | undefined,
  force: boolean,
): Promise<void> {
  await onTrace(cli, url, async (server, id) => {
    const read = async (take: (piece: Uint8Array) => void): Promise<void> => {
      const answer = await sqlOnServer(server, id, query, format, `${TOOL_NAME} ${cli.version}`);
      const pieces = answer[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
      for (;;) {
        const next = await pieces.next().catch((error: unknown) => {
          throw serverError(error, server.place, 'a query');
        });
        if (next.done === true) return;
        take(next.value);
      }
    };
    if (output !== undefined) {
      await withNewFileOf(output, force, read);
      return;
    }
    const pieces: Uint8Array[] = [];
    await read((piece) => pieces.push(piece));
    printAnswer(cli, format, Buffer.concat(pieces));
  });
}

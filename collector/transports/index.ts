import { LocalTransport } from './local.ts';
import { splitWords, parseSshTarget } from './ssh-target.ts';
import { SshTransport } from './ssh.ts';
import type { HostTransport } from './transport.ts';

export interface TransportOptions {
  /** More words for ssh's command line, as IOREQ_TRACE_SSH has them: '-F /path/ssh_config -i key'. */
  sshWords?: string;
}

/**
 * The host to work on: this machine if `host` is undefined, else 'ssh://[user@]board[:port]', board being whatever
 * the user's ssh knows by that name. Over ssh it must let us in without asking anything.
 *
 * @throws (rejects) TraceError E_USAGE if `host` is not written so, E_HOST with the reason if it cannot be reached
 */
export async function openTransport(
  host: string | undefined,
  options: TransportOptions = {},
): Promise<HostTransport> {
  if (host === undefined) return new LocalTransport();
  const words = options.sshWords ?? process.env['IOREQ_TRACE_SSH'] ?? '';
  return SshTransport.open(parseSshTarget(host), splitWords(words));
}

import { TraceError } from '../../trace/errors.ts';

export interface SshTarget {
  user?: string;
  host: string;
  port?: number;
}

/** Neither a name nor an address may begin with '-': ssh would take it for an option. */
const HOST = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;
const ADDRESS_6 = /^\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\]$/;
const USER = /^[A-Za-z0-9_.+][A-Za-z0-9_.+@-]*$/;

/**
 * 'ssh://[user@]host[:port]'; the host may be a name of the user's ssh configuration or an IPv6 address in [].
 *
 * @throws TraceError E_USAGE
 */
export function parseSshTarget(text: string): SshTarget {
  const found = /^ssh:\/\/(?:(.*)@)?(\[[^\]]*\]|[^@:[\]]*)(?::([0-9]{1,5}))?\/?$/.exec(text);
  const [, user, hostText = '', portText] = found ?? [];
  const host = ADDRESS_6.exec(hostText)?.[1] ?? (HOST.test(hostText) ? hostText : undefined);
  const port = portText === undefined ? undefined : Number(portText);
  const bad =
    host === undefined ||
    (user !== undefined && !USER.test(user)) ||
    (port !== undefined && (port < 1 || port > 65_535));
  if (bad) {
    throw new TraceError('E_USAGE', 'the host to reach is not written as a host is', {
      expected: 'ssh://[user@]host[:port], such as ssh://root@board',
      got: JSON.stringify(text),
    });
  }
  const target: SshTarget = { host };
  if (user !== undefined) target.user = user;
  if (port !== undefined) target.port = port;
  return target;
}

export function targetName({ user, host, port }: SshTarget): string {
  const name = user === undefined ? host : `${user}@${host}`;
  return port === undefined ? name : `${name} port ${port}`;
}

/** The target as words of ssh's command line; '--' so that nothing in it is an option. */
export function targetWords({ user, host, port }: SshTarget): string[] {
  const words: string[] = [];
  if (user !== undefined) words.push('-l', user);
  if (port !== undefined) words.push('-p', String(port));
  return [...words, '--', host];
}

/**
 * Words of IOREQ_TRACE_SSH: apart by blanks, a word with blanks in '' or "". No other shell syntax.
 *
 * @throws TraceError E_USAGE on a quote that is not closed
 */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let rest = text.trim();
  while (rest !== '') {
    const word = /^(?:[^\s'"]|'[^']*'|"[^"]*")+/.exec(rest)?.[0];
    if (word === undefined || /^['"]/.test(rest.slice(word.length))) {
      throw new TraceError('E_USAGE', `IOREQ_TRACE_SSH has a quote that is not closed: ${text}`);
    }
    words.push(word.replace(/'([^']*)'|"([^"]*)"/g, (_, one?: string, two?: string) => one ?? two ?? ''));
    rest = rest.slice(word.length).trimStart();
  }
  return words;
}

import { TraceError } from '../../trace/errors.ts';
import type { SshTarget } from './ssh-target.ts';
import { targetName } from './ssh-target.ts';

interface Case {
  pattern: RegExp;
  say: (name: string, host: string) => string;
}

/** OpenSSH's own words (ssh.c, sshconnect.c, sshconnect2.c); they are never translated. */
const CASES: readonly Case[] = [
  {
    pattern: /REMOTE HOST IDENTIFICATION HAS CHANGED/,
    say: (name, host) =>
      `the host key of ${name} is not the known one; if the board was set up anew: ssh-keygen -R ${host}, then ` +
      'log in once by hand',
  },
  {
    pattern: /Host key verification failed|No \S+ host key is known/,
    say: (name) => `the host key of ${name} is not known yet: log in once by hand with ssh and accept it`,
  },
  {
    pattern: /Could not resolve hostname/,
    say: (_, host) => `there is no host ${host}: neither DNS nor the ssh configuration knows it`,
  },
  {
    pattern: /Permission denied|Too many authentication failures|No supported authentication methods/,
    say: (name, host) =>
      `${name} lets us in with no key: "ssh -o BatchMode=yes ${loginOf(name, host)}" must work without a password ` +
      '(ssh-copy-id; IOREQ_TRACE_SSH adds options such as -i FILE or -F FILE)',
  },
  {
    pattern: /Connection refused/,
    say: (name) => `${name} refuses the connection: no ssh server runs there, or on another port`,
  },
  {
    pattern: /timed out|No route to host|Network is unreachable|Host is down/i,
    say: (name) => `${name} does not answer: is the board up and on the network?`,
  },
];

function loginOf(name: string, host: string): string {
  const [login = host, port] = name.split(' port ');
  return port === undefined ? login : `-p ${port} ${login}`;
}

/** Why no connection could be made, from what ssh wrote. */
export function connectError(target: SshTarget, stderr: string): TraceError {
  const name = targetName(target);
  const known = CASES.find(({ pattern }) => pattern.test(stderr));
  if (known !== undefined) return new TraceError('E_HOST', known.say(name, target.host));
  return new TraceError('E_HOST', `cannot reach ${name} by ssh: ${lastLine(stderr) || 'ssh gave no reason'}`);
}

/** The last line that ssh wrote, without its own name before it. */
export function lastLine(stderr: string): string {
  const lines = stderr.split(/[\r\n]+/).filter((line) => line.trim() !== '');
  return (lines.at(-1) ?? '').replace(/^ssh: /, '').trim();
}

/** A multiplexing client says this when the server wants no more sessions on the connection (MaxSessions). */
export function sessionRefused(stderr: string): boolean {
  return /session request failed|Session open refused by peer/.test(stderr);
}

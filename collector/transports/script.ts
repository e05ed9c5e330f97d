/** Alone on a line it ends a script that comes on stdin. */
const END = '@@ end of script @@';

/**
 * One line for a shell that reads a script from its stdin up to the END line and runs it, stdin going on behind
 * it. The shell's `read` takes no byte more than the line (POSIX sh, read: it must not read ahead), so what follows
 * is the script's own stdin. Half a script, from a connection that broke, is not run.
 *
 * Scripts go this way over ssh because a login shell need not be a POSIX one (a line break inside quotes is an
 * error to csh) and small ssh servers limit a command (dropbear: 9000 bytes, MAX_CMD_LEN).
 */
const READER =
  'n=$(printf "\\nx"); n=${n%x}; s=; while IFS= read -r l; do [ "$l" = "' +
  END +
  '" ] && break; s=$s$l$n; done; [ "$l" = "' +
  END +
  '" ] || exit 97; eval "unset s l n; $s"';

export const SCRIPT_READER = READER;

/** What is written on the stdin of SCRIPT_READER to have a script run. */
export function scriptOnStdin(script: string): string {
  if (script.split('\n').includes(END)) throw new Error('a script holds the line that ends it');
  return `${script}\n${END}\n`;
}

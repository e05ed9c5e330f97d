import type { CommandFacts, OptionFacts, ProgramFacts } from './command-tree.ts';

/** A bash script that completes commands, options, their values and paths. Needs nothing but bash 4. */
export function bashCompletion(program: ProgramFacts): string {
  const { name } = program;
  const fn = `_${name.replaceAll(/[^a-z0-9_]/gi, '_')}`;
  const commands = program.commands.map((command) => command.name);
  return `# bash completion of ${name} ${program.version}; source it, or put it into ~/.local/share/bash-completion/completions/${name}
${fn}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command= i
  # --option=value comes as three words.
  if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ \${COMP_WORDS[i]} != -* ]]; then command=\${COMP_WORDS[i]}; break; fi
  done
  COMPREPLY=()
  case $command in
    '')
      COMPREPLY=($(compgen -W ${words([...commands, 'help', ...names(program.options)])} -- "$cur")) ;;
    help)
      COMPREPLY=($(compgen -W ${words(commands)} -- "$cur")) ;;
${program.commands.map((command) => commandCase(command, commands)).join('\n')}
  esac
}
${fn}_list() {
  # The last of several names with commas between.
  local before=
  [[ $cur == *,* ]] && before=\${cur%,*},
  COMPREPLY=($(compgen -P "$before" -W "$1" -- "\${cur##*,}"))
  compopt -o nospace 2>/dev/null
}
${fn}_paths() {
  mapfile -t COMPREPLY < <(compgen -f -- "$cur")
  compopt -o filenames 2>/dev/null
}
complete -F ${fn} ${name}
`.replaceAll('@FN@', fn);
}

function commandCase(command: CommandFacts, commands: readonly string[]): string {
  const cases = command.options.filter((o) => o.value !== undefined).map((o) => valueCase(o, commands));
  const first = command.arguments.find((a) => a.kind !== 'none' || a.choices.length > 0);
  const rest =
    first === undefined
      ? ':'
      : first.choices.length > 0
        ? `COMPREPLY=($(compgen -W ${words(first.choices)} -- "$cur"))`
        : first.kind === 'command'
          ? `COMPREPLY=($(compgen -W ${words(commands)} -- "$cur"))`
          : '@FN@_paths';
  return [
    `    ${command.name})`,
    ...(cases.length === 0 ? [] : ['      case $prev in', ...cases, '      esac']),
    `      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W ${words(names(command.options))} -- "$cur"))`,
    `      else ${rest}; fi ;;`,
  ].join('\n');
}

function valueCase(option: OptionFacts, commands: readonly string[]): string {
  const flags = [option.short, option.long].filter((flag) => flag !== undefined).join(' | ');
  // A value that may be left out stands behind '=' only.
  const guard = option.optional ? '[[ ${COMP_WORDS[COMP_CWORD-1]} == = || $cur == "" ]] && ' : '';
  const offer =
    option.choices.length > 0
      ? option.list
        ? `@FN@_list ${words(option.choices)}`
        : `COMPREPLY=($(compgen -W ${words(option.choices)} -- "$cur"))`
      : option.kind === 'command'
        ? `COMPREPLY=($(compgen -W ${words(commands)} -- "$cur"))`
        : option.kind === 'path'
          ? '@FN@_paths'
          : ':';
  return option.optional
    ? `        ${flags}) ${guard}{ ${offer}; return; } ;;`
    : `        ${flags}) ${offer}; return ;;`;
}

function names(options: readonly OptionFacts[]): string[] {
  return options.flatMap(({ short, long }) =>
    short === undefined || short === long ? [long] : [short, long],
  );
}

function words(list: readonly string[]): string {
  return `'${list.join(' ').replaceAll("'", `'\\''`)}'`;
}

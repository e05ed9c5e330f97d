/** What a QEMU command line says that recording wants. Paths as given: relative ones are of its working directory. */
export interface QemuArgs {
  domid?: number;
  qmpSocket?: string;
  traceLog?: string;
}

/** An option's value, `a=b,c=d` with ',,' for a comma (QEMU util/qemu-option.c); the first part may have no key. */
export function optionFields(value: string): Map<string, string> {
  const out = new Map<string, string>();
  const parts = value.replaceAll(',,', '\0').split(',');
  parts.forEach((part, i) => {
    const text = part.replaceAll('\0', ',');
    const eq = text.indexOf('=');
    if (eq > 0) out.set(text.slice(0, eq), text.slice(eq + 1));
    else if (i === 0) out.set('', text);
    else out.set(text, 'on');
  });
  return out;
}

export function parseQemuArgs(words: readonly string[]): QemuArgs {
  const args: QemuArgs = {};
  const chardevs = new Map<string, string>();
  const monitors: string[] = [];
  const direct: string[] = [];
  let log: string | undefined;
  let traceFile: string | undefined;
  for (let i = 0; i < words.length; i++) {
    const option = words[i]!.replace(/^--/, '-');
    const value = words[i + 1] ?? '';
    if (option === '-xen-domid' && /^\d{1,5}$/.test(value)) args.domid = Number(value);
    else if (option === '-D') log = value;
    else if (option === '-trace') traceFile = optionFields(value).get('file') ?? traceFile;
    else if (option === '-qmp' || option === '-qmp-pretty') {
      const path = /^unix:(.*)$/.exec(optionFields(value).get('') ?? '')?.[1];
      if (path !== undefined) direct.push(path);
      else if (/^chardev:/.test(value)) monitors.push(value.slice(8));
    } else if (option === '-chardev') noteChardev(value, chardevs);
    else if (option === '-mon') {
      const mon = optionFields(value);
      if (mon.get('mode') === 'control') monitors.push(mon.get('chardev') ?? mon.get('') ?? '');
    } else continue;
    i++;
  }
  // The toolstack talks over libxl-cmd; a monitor serves one client at a time.
  monitors.sort((a, b) => Number(a === 'libxl-cmd') - Number(b === 'libxl-cmd'));
  const socket = [...direct, ...monitors.map((id) => chardevs.get(id))].find((path) => path !== undefined);
  if (socket !== undefined && socket !== '') args.qmpSocket = socket;
  const file = log ?? traceFile;
  if (file !== undefined && file !== '') args.traceLog = file;
  return args;
}

function noteChardev(value: string, chardevs: Map<string, string>): void {
  const chardev = optionFields(value);
  const [id, path] = [chardev.get('id'), chardev.get('path')];
  if (chardev.get('') === 'socket' && id !== undefined && path !== undefined) chardevs.set(id, path);
}

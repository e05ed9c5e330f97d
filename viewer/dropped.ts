/** Files that somebody chose, and the name of the directory that they lie in. */
export interface Chosen {
  name: string;
  files: File[];
}

/** Not in TypeScript's library; browsers of the Chromium family have it. */
interface HandleItem {
  getAsFileSystemHandle?(): Promise<FileSystemHandle | null>;
}
interface DirectoryHandle extends FileSystemHandle {
  values(): AsyncIterable<FileSystemHandle>;
}

/** The files themselves, or those of a directory; what lies in directories below it belongs to no trace. */
export async function droppedFiles({ items, files }: DataTransfer): Promise<Chosen> {
  // All are empty once this function has waited for something.
  const all = [...files];
  const entry = items[0]?.webkitGetAsEntry();
  const handle = (items[0] as HandleItem | undefined)?.getAsFileSystemHandle?.();
  if (!entry?.isDirectory) return { name: 'trace', files: all };
  const { name } = entry;
  // Chromium gives a page from disk no files of an entry (EncodingError), but those of a handle; others have no handles.
  const directory = await handle;
  return {
    name,
    files: await (directory
      ? handleFiles(directory as DirectoryHandle)
      : entryFiles(entry as FileSystemDirectoryEntry)),
  };
}

async function handleFiles(directory: DirectoryHandle): Promise<File[]> {
  const found: File[] = [];
  for await (const one of directory.values())
    if (one.kind === 'file') found.push(await (one as FileSystemFileHandle).getFile());
  return found;
}

async function entryFiles(directory: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = directory.createReader();
  const found: File[] = [];
  for (;;) {
    // Some at a time, until there are none.
    const entries = await new Promise<FileSystemEntry[]>((done, failed) => {
      reader.readEntries(done, failed);
    });
    if (entries.length === 0) return found;
    for (const one of entries) {
      if (!one.isFile) continue;
      found.push(
        await new Promise((done, failed) => {
          (one as FileSystemFileEntry).file(done, failed);
        }),
      );
    }
  }
}

/** The same of an input, which names files of a directory by their path from it. */
export function inputFiles({ files }: HTMLInputElement): Chosen {
  const all = [...(files ?? [])];
  const [name = 'trace', below] = all[0]?.webkitRelativePath.split('/') ?? [];
  if (below === undefined) return { name: 'trace', files: all };
  return { name, files: all.filter((f) => f.webkitRelativePath.split('/').length === 2) };
}

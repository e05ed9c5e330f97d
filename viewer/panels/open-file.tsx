import type { JSX } from 'preact';
import { openChosen } from '../data.ts';
import { inputFiles } from '../dropped.ts';

/** A page from disk (or its rows); `directory`: a trace. */
export function OpenFile({ text, directory }: { text: string; directory?: boolean }): JSX.Element {
  return (
    <label class="link">
      {text}
      <input
        type="file"
        class="unseen"
        accept=".html,.rows"
        {...(directory === true && { webkitdirectory: true })}
        onChange={({ currentTarget }) => {
          const chosen = inputFiles(currentTarget);
          currentTarget.value = '';
          if (chosen.files.length > 0) void openChosen(chosen);
        }}
      />
    </label>
  );
}

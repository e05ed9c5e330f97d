import type { JSX } from 'preact';
import { openFile } from '../data.ts';

export function OpenFile({ text }: { text: string }): JSX.Element {
  return (
    <label class="link">
      {text}
      <input
        type="file"
        class="unseen"
        accept=".html,.rows"
        onChange={(event) => {
          const [file] = event.currentTarget.files ?? [];
          event.currentTarget.value = '';
          if (file !== undefined) void openFile(file);
        }}
      />
    </label>
  );
}

import type { ComponentChildren, JSX } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { ask, help, said } from '../dialogs.ts';
import { KEYS } from '../keys.ts';
import { useAtom } from '../state.ts';

/** A modal dialog of the browser's own: it keeps the focus, and Escape closes it. */
export function Modal({
  title,
  onClose,
  children,
}: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  // Before the next key comes: what is typed at once after the shortcut belongs to the dialog.
  useLayoutEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} aria-label={title} onClose={onClose}>
      <h2>
        {title}
        <button type="button" class="link" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </h2>
      {children}
    </dialog>
  );
}

export function Dialogs(): JSX.Element {
  const question = useAtom(ask);
  return (
    <>
      {useAtom(help) && <Help />}
      {question !== null && <Ask key={question.title} />}
      <p class="unseen" role="status">
        {useAtom(said)}
      </p>
    </>
  );
}

function Help(): JSX.Element {
  return (
    <Modal
      title="Keys"
      onClose={() => {
        help.set(false);
      }}
    >
      <dl class="keys">
        {[...KEYS, { shows: '?', text: 'This sheet' }].map(({ shows, text }) => (
          <div key={shows}>
            <dt>
              <kbd>{shows}</kbd>
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      <p class="hint">
        Keys are places on the keyboard, as on a US layout. On the heatmap: arrows move the cursor, Space
        begins a box and ends it.
      </p>
    </Modal>
  );
}

function Ask(): JSX.Element | null {
  const question = useAtom(ask);
  const [text, setText] = useState(question?.value ?? '');
  const [wrong, setWrong] = useState('');
  if (question === null) return null;
  const close = (): void => {
    ask.set(null);
  };
  return (
    <Modal title={question.title} onClose={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const fault = question.done(text);
          if (fault === null) close();
          else setWrong(fault);
        }}
      >
        <label>
          <span class="hint">{question.hint}</span>
          <input
            autofocus
            value={text}
            onInput={(event) => {
              setText(event.currentTarget.value);
            }}
          />
        </label>
        <button type="submit" class="plain">
          OK
        </button>
        <p role="alert" class="wrong">
          {wrong}
        </p>
      </form>
    </Modal>
  );
}

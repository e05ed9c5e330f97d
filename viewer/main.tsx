import { render } from 'preact';
import { App, Guard } from './app.tsx';
import { cannotRead, openChosen, start } from './data.ts';
import { droppedFiles } from './dropped.ts';
import { remember, rememberSoon } from './history.ts';
import { onKey } from './keys.ts';
import { fromHash, toHash, view } from './state.ts';
import { serve } from './worker.ts';
import './styles/themes.css';
import './styles/layout.css';
import './styles/charts.css';
import './styles/tables.css';
import './styles/panels.css';

/** Without a document this is the worker that the page has made of its own script. */
if (typeof document === 'undefined') serve();
else showPage();

function showPage(): void {
  view.set(fromHash(location.hash));

  function applyTheme(): void {
    const { theme } = view.get();
    if (theme === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
  }

  let pending = 0;
  view.watch(() => {
    applyTheme();
    rememberSoon();
    clearTimeout(pending);
    // A drag changes the state at every frame; browsers refuse hundreds of replaceState calls a second.
    pending = window.setTimeout(() => {
      const hash = toHash(view.get());
      history.replaceState(null, '', hash === '' ? location.pathname + location.search : `#${hash}`);
    }, 150);
  });
  addEventListener('keydown', onKey);
  addEventListener('dragover', (event) => {
    event.preventDefault();
  });
  addEventListener('drop', (event) => {
    event.preventDefault();
    if (event.dataTransfer !== null) void droppedFiles(event.dataTransfer).then(openChosen, cannotRead);
  });
  remember();
  addEventListener('hashchange', () => {
    view.set(fromHash(location.hash));
  });

  applyTheme();
  const root = document.getElementById('app');
  if (root !== null) {
    root.textContent = '';
    render(
      <Guard>
        <App />
      </Guard>,
      root,
    );
    start();
  }
}

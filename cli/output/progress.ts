import { bytes, count } from './units.ts';

const WIDTH = 30;

/** A bar on one line of a terminal, drawn over and taken away at the end; nothing anywhere else. */
export class ProgressBar {
  private readonly write: ((text: string) => void) | undefined;
  private readonly label: string;
  private readonly unit: string;
  private shown = '';

  /** `unit`: what is counted, in words; bytes unless given. */
  constructor(label: string, isTerminal: boolean, write: (text: string) => void, unit = 'bytes') {
    this.label = label;
    this.unit = unit;
    this.write = isTerminal ? write : undefined;
  }

  update(done: number, total: number): void {
    if (this.write === undefined) return;
    const part = total > 0 ? Math.min(1, done / total) : 1;
    const full = Math.floor(part * WIDTH);
    const bar = '#'.repeat(full) + '.'.repeat(WIDTH - full);
    const text = `${this.label} [${bar}] ${String(Math.floor(part * 100)).padStart(3)} % of ${this.unit === 'bytes' ? bytes(total) : `${count(total)} ${this.unit}`}`;
    if (text === this.shown) return;
    this.shown = text;
    this.write(`\r${text}\u001b[K`);
  }

  clear(): void {
    if (this.shown !== '') this.write?.('\r\u001b[K');
    this.shown = '';
  }
}

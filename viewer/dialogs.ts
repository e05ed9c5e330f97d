import { Atom } from './state.ts';

/** One line of input: `done` gives what is wrong with it, or null. */
export interface Question {
  title: string;
  hint: string;
  value: string;
  done: (text: string) => string | null;
}

export const ask = new Atom<Question | null>(null);
export const help = new Atom(false);
export const menu = new Atom(false);
/** What the page says to those who cannot see it change. */
export const said = new Atom('');
export const say = (text: string): void => {
  said.set(text);
};

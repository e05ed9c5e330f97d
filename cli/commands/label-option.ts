import { InvalidArgumentError } from 'commander';

const NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/;

/** Parser of a repeatable option k=v; the value may be any text. */
export function labelOption(text: string, before: Record<string, string>): Record<string, string> {
  const at = text.indexOf('=');
  const name = text.slice(0, Math.max(0, at));
  if (!NAME.test(name)) throw new InvalidArgumentError('Expected a label such as build=1.2.');
  return { ...before, [name]: text.slice(at + 1) };
}

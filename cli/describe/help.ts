import type { HelpConfiguration, Option } from 'commander';
import { defaultText } from './command-tree.ts';

/** Commander's help, without defaults that say nothing: "(default: [])" of an option that may be repeated. */
export const HELP: HelpConfiguration = {
  optionDescription(option: Option): string {
    const extra: string[] = [];
    if (option.argChoices !== undefined) extra.push(`one of ${option.argChoices.join(', ')}`);
    if (Array.isArray(option.defaultValue)) extra.push('may be repeated');
    const fallback = defaultText(option);
    if (fallback !== undefined) extra.push(`default: ${fallback}`);
    return extra.length === 0 ? option.description : `${option.description} (${extra.join('; ')})`;
  },
};

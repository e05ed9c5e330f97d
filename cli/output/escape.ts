/**
 * Text from a trace (process, guest and file names) as it may go to a terminal: control characters, escape
 * sequences, line breaks and characters that turn the writing direction are shown as \xNN or \u{NNNN}.
 */
export function escapeText(text: string): string {
  return text.replace(UNSAFE, (found) => {
    const code = found.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** C0, DEL, C1; line and paragraph separators; marks, embeddings, overrides and isolates of direction; BOM. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu;

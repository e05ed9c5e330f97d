/** The engine's names of the formats of answers. */
export const SQL_FORMATS = {
  table: 'PrettyCompactMonoBlock',
  json: 'JSON',
  csv: 'CSVWithNames',
  arrow: 'ArrowStream',
  parquet: 'Parquet',
} as const;
export type SqlFormat = keyof typeof SQL_FORMATS;

/** How the engine writes them: 64-bit integers whole, as texts in JSON; no colours or cut cells in tables; NaN is no JSON. */
export const SQL_SETTINGS: Readonly<Record<string, string | number>> = {
  output_format_json_quote_64bit_integers: 1,
  output_format_json_quote_denormals: 0,
  output_format_pretty_color: 0,
  output_format_pretty_row_numbers: 0,
  output_format_pretty_highlight_digit_groups: 0,
  output_format_pretty_max_rows: 10_000,
  output_format_pretty_single_large_number_tip_threshold: 0,
  output_format_arrow_string_as_string: 1,
  output_format_arrow_compression_method: 'none',
  // What every reader of Parquet has.
  output_format_parquet_compression_method: 'snappy',
  // Several groups are held while they are written: of a million rows, as by default, they took 1 GB.
  output_format_parquet_row_group_size: 1 << 18,
};

/** What an engine says of a query in one line, without its number and class, which are no part of what is wrong. */
export function engineWords(message: string): string {
  const line = message.replace(/\s*\n\s*/g, ' ').trim();
  return line.replace(/^Code: \d+\. DB::Exception: /, '').slice(0, 500);
}

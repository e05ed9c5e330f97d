/** Where what is recorded goes: straight to files, or into a ring until a trigger fires. All may throw E_WRITE. */
export interface RecordSink {
  /** Whole ring-buffer pages of one CPU of Dom0. Never written again: may be kept. */
  pages(cpu: number, bytes: Uint8Array): void;
  /** Bytes of xentrace's output. Never written again. */
  xen(bytes: Uint8Array): void;
  /** Lines of the device model's own log. Never written again. */
  log(bytes: Uint8Array): void;
  text(name: string, text: string): void;
  /** Recording began. */
  began?(): void;
  /** A round over all CPUs begins: all that came before it is older than what comes a round later. */
  round(number: number, uptime: number): void;
  /** All CPUs were emptied while recording paused: what has come is complete up to one instant. */
  cut?(): void;
  warning(text: string): void;
  readonly rawBytes: number;
  readonly nearlyFull: boolean;
}

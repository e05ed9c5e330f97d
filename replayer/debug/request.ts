/** What a chain asks of its device. Numbers are there for conditions of breakpoints. */
export interface Request {
  text: string;
  /** blk: BLK_T_*; gpu: GPU_* command; console control: event; net control: class. */
  type?: number;
  /** blk only. */
  sector?: number;
  /** Bytes of data, without headers. */
  length?: number;
}

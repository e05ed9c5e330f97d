import type { Intake } from './intake.ts';
import * as nbd from './protocol.ts';

export interface NbdExport {
  bytes: Uint8Array;
  readOnly: boolean;
}

/** The newstyle negotiation, server's side, for one export that answers to every name. */
export class Handshake {
  /** The client takes structured replies. */
  structured = false;
  private clientFlags: number | undefined;
  /** An option whose data has not come yet. */
  private pending: { kind: number; length: number } | undefined;
  private readonly disk: NbdExport;
  private readonly send: (bytes: Buffer) => void;

  constructor(disk: NbdExport, send: (bytes: Buffer) => void) {
    this.disk = disk;
    this.send = send;
    const hello = Buffer.alloc(18);
    hello.writeBigUInt64BE(nbd.NBD_MAGIC, 0);
    hello.writeBigUInt64BE(nbd.NBD_OPTION_MAGIC, 8);
    hello.writeUInt16BE(nbd.NBD_FLAG_FIXED_NEWSTYLE | nbd.NBD_FLAG_NO_ZEROES, 16);
    send(hello);
  }

  /** Reads what has come. 'more': not done yet. 'refused': the client is none, or has ended the negotiation. */
  take(intake: Intake): 'more' | 'ready' | 'refused' {
    if (this.clientFlags === undefined) {
      this.clientFlags = intake.take(4)?.readUInt32BE();
      if (this.clientFlags === undefined) return 'more';
    }
    for (;;) {
      const option = this.option(intake);
      if (option === 'more' || option === 'refused') return option;
      const { kind, data } = option;
      if (kind === nbd.NBD_OPT_EXPORT_NAME) {
        const padding = (this.clientFlags & nbd.NBD_FLAG_NO_ZEROES) === 0 ? 124 : 0;
        this.send(Buffer.concat([this.exportInfo(), Buffer.alloc(padding)]));
        return 'ready';
      }
      if (kind === nbd.NBD_OPT_ABORT) {
        this.reply(kind, nbd.NBD_REP_ACK);
        return 'refused';
      }
      if (kind === nbd.NBD_OPT_STRUCTURED_REPLY && data.length === 0) {
        this.structured = true;
        this.reply(kind, nbd.NBD_REP_ACK);
      } else if (kind !== nbd.NBD_OPT_INFO && kind !== nbd.NBD_OPT_GO)
        this.reply(kind, nbd.NBD_REP_ERR_UNSUP);
      else if (data.length < 6 || data.readUInt32BE() > data.length - 6)
        this.reply(kind, nbd.NBD_REP_ERR_INVALID);
      else {
        this.inform(kind);
        if (kind === nbd.NBD_OPT_GO) return 'ready';
      }
    }
  }

  private option(intake: Intake): { kind: number; data: Buffer } | 'more' | 'refused' {
    if (this.pending === undefined) {
      const head = intake.take(nbd.NBD_OPTION_BYTES);
      if (head === undefined) return 'more';
      const length = head.readUInt32BE(12);
      if (head.readBigUInt64BE() !== nbd.NBD_OPTION_MAGIC || length > nbd.NBD_MOST_OPTION_BYTES)
        return 'refused';
      this.pending = { kind: head.readUInt32BE(8), length };
    }
    const { kind, length } = this.pending;
    const data = intake.take(length);
    if (data === undefined) return 'more';
    this.pending = undefined;
    return { kind, data };
  }

  private exportInfo(): Buffer {
    const info = Buffer.alloc(10);
    info.writeBigUInt64BE(BigInt(this.disk.bytes.length), 0);
    const { readOnly } = this.disk;
    const writing = nbd.NBD_FLAG_SEND_TRIM | nbd.NBD_FLAG_SEND_WRITE_ZEROES | nbd.NBD_FLAG_SEND_FUA;
    const flags =
      nbd.NBD_FLAG_HAS_FLAGS | nbd.NBD_FLAG_SEND_FLUSH | (readOnly ? nbd.NBD_FLAG_READ_ONLY : writing);
    info.writeUInt16BE(flags, 8);
    return info;
  }

  private inform(option: number): void {
    const kind = Buffer.alloc(2);
    kind.writeUInt16BE(nbd.NBD_INFO_EXPORT);
    this.reply(option, nbd.NBD_REP_INFO, Buffer.concat([kind, this.exportInfo()]));
    const sizes = Buffer.alloc(14);
    sizes.writeUInt16BE(nbd.NBD_INFO_BLOCK_SIZE, 0);
    sizes.writeUInt32BE(1, 2);
    sizes.writeUInt32BE(4096, 6);
    sizes.writeUInt32BE(nbd.NBD_MOST_BYTES, 10);
    this.reply(option, nbd.NBD_REP_INFO, sizes);
    this.reply(option, nbd.NBD_REP_ACK);
  }

  private reply(option: number, type: number, data = Buffer.alloc(0)): void {
    const head = Buffer.alloc(20);
    head.writeBigUInt64BE(nbd.NBD_OPTION_REPLY_MAGIC, 0);
    head.writeUInt32BE(option, 8);
    head.writeUInt32BE(type, 12);
    head.writeUInt32BE(data.length, 16);
    this.send(Buffer.concat([head, data]));
  }
}

/** Network block device: the protocol of github.com/NetworkBlockDevice/nbd, doc/proto.md. Numbers are big-endian. */
export const NBD_MAGIC = 0x4e42444d41474943n;
export const NBD_OPTION_MAGIC = 0x49484156454f5054n;
export const NBD_OPTION_REPLY_MAGIC = 0x3e889045565a9n;
export const NBD_REQUEST_MAGIC = 0x25609513;
export const NBD_REPLY_MAGIC = 0x67446698;
export const NBD_STRUCTURED_REPLY_MAGIC = 0x668e33ef;

/** Handshake flags: fixed newstyle, no zeroes behind the answer to EXPORT_NAME. */
export const NBD_FLAG_FIXED_NEWSTYLE = 1;
export const NBD_FLAG_NO_ZEROES = 2;

export const NBD_OPT_EXPORT_NAME = 1;
export const NBD_OPT_ABORT = 2;
export const NBD_OPT_INFO = 6;
export const NBD_OPT_GO = 7;
export const NBD_OPT_STRUCTURED_REPLY = 8;

export const NBD_REP_ACK = 1;
export const NBD_REP_INFO = 3;
export const NBD_REP_ERR_UNSUP = 0x8000_0001;
export const NBD_REP_ERR_INVALID = 0x8000_0003;

export const NBD_INFO_EXPORT = 0;
export const NBD_INFO_BLOCK_SIZE = 3;

/** Transmission flags. */
export const NBD_FLAG_HAS_FLAGS = 1;
export const NBD_FLAG_READ_ONLY = 2;
export const NBD_FLAG_SEND_FLUSH = 4;
export const NBD_FLAG_SEND_FUA = 8;
export const NBD_FLAG_SEND_TRIM = 32;
export const NBD_FLAG_SEND_WRITE_ZEROES = 64;

export const NBD_CMD = { READ: 0, WRITE: 1, DISC: 2, FLUSH: 3, TRIM: 4, WRITE_ZEROES: 6 } as const;

/** Chunks of structured replies. */
export const NBD_REPLY_FLAG_DONE = 1;
export const NBD_CHUNK = { NONE: 0, OFFSET_DATA: 1, OFFSET_HOLE: 2, ERROR: 0x8001 } as const;

export const NBD_EPERM = 1;
export const NBD_EINVAL = 22;

export const NBD_REQUEST_BYTES = 28;
export const NBD_OPTION_BYTES = 16;
/** Longest option that is read (a name has at most 4096 bytes), longest transfer in one request. */
export const NBD_MOST_OPTION_BYTES = 65_536;
export const NBD_MOST_BYTES = 32 << 20;

import type { ByteSource } from './byte-source.ts';

/** A source that tells how many bytes were read from it, for progress; never more than its size. */
export class CountingSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  private readonly inner: ByteSource;
  private readonly onRead: (bytes: number) => void;
  private told = 0;

  constructor(inner: ByteSource, onRead: (bytes: number) => void) {
    this.inner = inner;
    this.name = inner.name;
    this.size = inner.size;
    this.onRead = onRead;
  }

  read(offset: number, into: Uint8Array): number {
    const got = this.inner.read(offset, into);
    const news = Math.min(got, this.size - this.told);
    this.told += news;
    if (news > 0) this.onRead(news);
    return got;
  }

  close(): void {
    this.inner.close();
  }
}

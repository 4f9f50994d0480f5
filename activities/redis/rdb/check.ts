/**
 * Looks at an RDB as it passes by: that it is one, and whole. What is cut off or damaged must not get as far as a new
 * group, where it would be a `restore-failed` after half an hour, or, worse, a group with less in it.
 */
import { ErrorType } from '../../../spec/errors.ts';
import type { RdbFacts } from '../../../spec/redis-rdb.ts';
import { permanent } from '../../errors.ts';
import { Crc64 } from './crc64.ts';
import { HEADER_BYTES, MAGIC_BYTES, readHeader, type RdbHeader } from './header.ts';

/** The opcode that ends an RDB, and the checksum behind it. */
const EOF_OPCODE = 0xff;
const CRC_BYTES = 8;

/** Redis 3.2: from here on an RDB says when it was made. */
const LEAST_VERSION = 7;

export class RdbCheck {
  private readonly crc = new Crc64();
  private readonly what: string;
  private head: Buffer[] | undefined = [];
  private headBytes = 0;
  /** The last bytes so far: the checksum, if nothing follows. */
  private tail: Buffer = Buffer.alloc(0);
  private beforeTail: number | undefined;
  private found: RdbHeader | undefined;
  bytes = 0;

  /** @param what The file, for messages. */
  constructor(what: string) {
    this.what = what;
  }

  /** Known as soon as enough has passed. */
  get header(): RdbHeader | undefined {
    return this.found;
  }

  /** @throws cutover.Invalid as soon as it is clear that this is no RDB, or one from before Redis 3.2 */
  push(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.head) this.readHead(chunk);
    const all = chunk.length >= CRC_BYTES ? chunk : Buffer.concat([this.tail, chunk]);
    if (chunk.length >= CRC_BYTES) this.sum(this.tail);
    const cut = Math.max(0, all.length - CRC_BYTES);
    this.sum(all.subarray(0, cut));
    // A copy: the chunk's memory is its giver's, and may be used again.
    this.tail = Buffer.from(all.subarray(cut));
  }

  /** @throws cutover.Invalid where it is not whole */
  end(): RdbFacts {
    this.endHead();
    const header = this.found;
    if (!header) throw this.wrong(`it has ${this.bytes} bytes`);
    if (this.bytes < MAGIC_BYTES + 1 + CRC_BYTES || this.beforeTail !== EOF_OPCODE) {
      throw this.wrong('its end is missing: it was cut off');
    }
    const stored = Buffer.from(this.tail).reverse().toString('hex');
    const computed = this.crc.hex();
    const unchecked = /^0+$/.test(stored);
    if (!unchecked && stored !== computed) {
      throw this.wrong(`it is damaged: its checksum is ${stored}, and of its bytes ${computed}`);
    }
    return { ...header, bytes: this.bytes, ...(unchecked ? {} : { crc64: stored }) };
  }

  private sum(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.crc.update(bytes);
    this.beforeTail = bytes[bytes.length - 1];
  }

  private readHead(chunk: Buffer): void {
    this.head?.push(Buffer.from(chunk.subarray(0, HEADER_BYTES)));
    this.headBytes += chunk.length;
    if (this.headBytes >= HEADER_BYTES) this.endHead();
  }

  private endHead(): void {
    if (!this.head) return;
    const head = Buffer.concat(this.head);
    this.head = undefined;
    const header = readHeader(head);
    if (!header) throw this.wrong(`it begins with ${JSON.stringify(head.toString('latin1', 0, MAGIC_BYTES))}`);
    if (header.version < LEAST_VERSION) {
      throw this.wrong(`its format is ${header.version}, from before Redis 3.2: it does not say when it was made`);
    }
    this.found = header;
  }

  private wrong(why: string) {
    return permanent(ErrorType.invalid, `${this.what} is no whole RDB: ${why}`, {
      remedy:
        'is it the file of this server (CONFIG GET dir dbfilename), and its disk not full? redis-check-rdb tells more',
    });
  }
}

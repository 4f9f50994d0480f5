/**
 * CRC-64 as Redis puts it at the end of an RDB (src/crc64.c, "Jones"): polynomial 0xad93d23594c935a9, bits reflected, no
 * initial or final value. In halves of 32 bits and eight bytes at a time: a BigInt for each byte would make 10 GB take hours.
 */

/** 0xad93d23594c935a9 with its bits in reverse. */
const REFLECTED = 0x95ac9329ac4bc9b5n;

const { low: LOW, high: HIGH } = tables();

/** `T[k][byte]` at `k * 256 + byte`: what a byte does to the checksum when k more bytes follow it. */
function tables(): { low: Uint32Array; high: Uint32Array } {
  const first: bigint[] = [];
  for (let byte = 0; byte < 256; byte++) {
    let crc = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ REFLECTED : crc >> 1n;
    first.push(crc);
  }
  const low = new Uint32Array(8 * 256);
  const high = new Uint32Array(8 * 256);
  let row = first;
  for (let k = 0; k < 8; k++) {
    row.forEach((crc, byte) => {
      low[k * 256 + byte] = Number(crc & 0xffffffffn);
      high[k * 256 + byte] = Number(crc >> 32n);
    });
    row = row.map((crc) => first[Number(crc & 0xffn)]! ^ (crc >> 8n));
  }
  return { low, high };
}

export class Crc64 {
  private low = 0;
  private high = 0;

  update(bytes: Uint8Array): this {
    let low = this.low;
    let high = this.high;
    let at = 0;
    const eights = bytes.length - (bytes.length % 8);
    for (; at < eights; at += 8) {
      const a = low ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
      const b = high ^ (bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24));
      const i0 = 1792 + (a & 255);
      const i1 = 1536 + ((a >>> 8) & 255);
      const i2 = 1280 + ((a >>> 16) & 255);
      const i3 = 1024 + (a >>> 24);
      const i4 = 768 + (b & 255);
      const i5 = 512 + ((b >>> 8) & 255);
      const i6 = 256 + ((b >>> 16) & 255);
      const i7 = b >>> 24;
      low = LOW[i0]! ^ LOW[i1]! ^ LOW[i2]! ^ LOW[i3]! ^ LOW[i4]! ^ LOW[i5]! ^ LOW[i6]! ^ LOW[i7]!;
      high = HIGH[i0]! ^ HIGH[i1]! ^ HIGH[i2]! ^ HIGH[i3]! ^ HIGH[i4]! ^ HIGH[i5]! ^ HIGH[i6]! ^ HIGH[i7]!;
    }
    for (; at < bytes.length; at++) {
      const i = (low ^ bytes[at]!) & 255;
      low = ((low >>> 8) | (high << 24)) ^ LOW[i]!;
      high = (high >>> 8) ^ HIGH[i]!;
    }
    this.low = low;
    this.high = high;
    return this;
  }

  /** 16 hex digits. */
  hex(): string {
    return [this.high, this.low].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }
}

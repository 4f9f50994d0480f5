/** Statements as a Postgres client sends them, for a tripwire: the text of each Query and Parse message. */
import type { WireParser } from './tripwire.ts';

const TYPE = 1;
const LENGTH = 4;

export class SqlParser implements WireParser {
  private rest = Buffer.alloc(0);
  private started = false;

  feed(chunk: Buffer): string[][] {
    this.rest = Buffer.concat([this.rest, chunk]);
    const statements: string[][] = [];
    // The first message has no type; what a client asks before it (SSL) has not either, and is 8 bytes long.
    while (!this.started && this.rest.length >= 8) {
      const length = this.rest.readInt32BE(0);
      if (this.rest.length < length) return statements;
      this.started = length !== 8;
      this.rest = this.rest.subarray(length);
    }
    while (this.rest.length >= TYPE + LENGTH) {
      const end = TYPE + this.rest.readInt32BE(TYPE);
      if (this.rest.length < end) break;
      const text = statementOf(this.rest.subarray(0, end));
      if (text !== undefined) statements.push([text]);
      this.rest = this.rest.subarray(end);
    }
    return statements;
  }
}

function statementOf(message: Buffer): string | undefined {
  const type = String.fromCharCode(message[0]!);
  const body = message.subarray(TYPE + LENGTH);
  if (type === 'Q') return body.toString('utf8', 0, body.indexOf(0));
  if (type !== 'P') return undefined;
  const query = body.indexOf(0) + 1;
  return body.toString('utf8', query, body.indexOf(0, query));
}

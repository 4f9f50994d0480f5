/** The replication library's plugin for test_decoding, as this engine needs it. */
import { escapeIdentifier } from 'pg';
import type pg from 'pg';
import { TestDecodingPlugin } from 'pg-logical-replication';

/** The library's own plugin, with its parser left aside: it can't tell all types' names, and takes apart what is not ours. */
export class RawTestDecoding extends TestDecodingPlugin {
  override async start(client: pg.Client, slot: string, lsn: string): Promise<unknown> {
    return client.query(
      `START_REPLICATION SLOT ${escapeIdentifier(slot)} LOGICAL ${lsn} ("include-xids" 'on', "include-timestamp" 'on', "skip-empty-xacts" 'on')`,
    );
  }

  /** Messages that have come in; the library hands them on later, one by one. */
  parsed = 0;

  // oxlint-disable-next-line typescript/no-explicit-any -- the library's own signature
  override parse(buffer: Buffer): any {
    this.parsed++;
    return buffer.toString('utf8');
  }
}

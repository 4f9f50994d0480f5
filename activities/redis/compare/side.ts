/** One side of a compare: one server, or the primaries of a cluster, each of which has the keys of its slots. */
import type { Redis } from 'ioredis';
import { slotOf } from '../copy/slots.ts';
import { printable } from './key-names.ts';
import type { Page, Reader } from './reader.ts';
import type { Depth } from './types.ts';

export interface Node {
  /** host:port. */
  name: string;
  /** Its id in its cluster; of a single server its name. */
  id: string;
  /** For SCAN and the bulk readings. */
  bulk: Redis;
  /** For rereads and large keys, which must not wait behind the bulk. */
  aside: Redis;
  reader: Reader;
  /** Of the process; '' where it can't be known. */
  runId: string;
}

export class Side {
  readonly name: 'source' | 'target';
  /** Never empty. */
  readonly nodes: readonly Node[];
  /** The node of each slot; undefined: no cluster. */
  readonly #bySlot: readonly Node[] | undefined;

  constructor(name: Side['name'], nodes: readonly Node[], bySlot?: readonly Node[]) {
    this.name = name;
    this.nodes = nodes;
    this.#bySlot = bySlot;
  }

  get cluster(): boolean {
    return this.#bySlot !== undefined;
  }

  /** The only server; of a cluster any one of its nodes. */
  get first(): Node {
    return found(this.nodes[0], `the ${this.name} has no node`);
  }

  /** All of its nodes can do it. */
  able(ability: 'pexpiretime' | 'dump' | 'memoryUsage' | 'info'): boolean {
    return this.nodes.every(({ reader }) => reader.abilities[ability]);
  }

  /** The node that has the key, or would have it. */
  nodeOf(key: Buffer): Node {
    if (!this.#bySlot) return this.first;
    return found(this.#bySlot[slotOf(key)], `no node of the ${this.name} serves the slot of ${printable(key)}`);
  }

  /**
   * Reads the keys on the nodes that have them; lines in the keys' order. Where several clocks answer, `nowMs` is the
   * earliest: by the latest, a key could seem about to expire.
   */
  async read(by: 'bulk' | 'aside', keys: Buffer[], depth: Depth): Promise<Page> {
    if (!this.cluster) return this.first.reader.read(this.first[by], keys, depth);
    const places = new Map<Node, number[]>();
    for (const [i, key] of keys.entries()) {
      const node = this.nodeOf(key);
      const known = places.get(node);
      if (known) known.push(i);
      else places.set(node, [i]);
    }
    const lines = Array.from<string>({ length: keys.length });
    const parts = await Promise.all(
      [...places].map(async ([node, at]) => {
        const some = at.map((i) => found(keys[i], 'a key is missing'));
        const part = await node.reader.read(node[by], some, depth);
        const read = part.lines.toString('latin1').split('\n');
        if (read.length !== at.length) throw new Error(`compare: ${read.length} states were read of ${at.length} keys`);
        for (const [n, i] of at.entries()) lines[i] = found(read[n], 'a state is missing');
        return part;
      }),
    );
    return {
      nowMs: Math.min(...parts.map(({ nowMs }) => nowMs)),
      lines: Buffer.from(lines.join('\n'), 'latin1'),
      bigs: parts.reduce((sum, { bigs }) => sum + bigs, 0),
    };
  }

  /** Keys of the database at which the connections are. */
  async dbsize(): Promise<number> {
    const sizes = await Promise.all(this.nodes.map(({ bulk }) => bulk.dbsize()));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** What is said of a key, with the node of a cluster where that was seen. */
  told(what: string, key: Buffer): string {
    return this.cluster ? `${what}, on ${this.nodeOf(key).name}` : what;
  }
}

function found<T>(value: T | undefined, otherwise: string): T {
  if (value === undefined) throw new Error(`compare: ${otherwise}`);
  return value;
}

import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import getPort, { portNumbers } from 'get-port';

/** Everything the sandbox starts listens here and nowhere else. */
export const LOOPBACK = '127.0.0.1';

const BLOCK_SIZE = 20;
const LOWEST = 10_240;
const HIGHEST = 32_000;

interface Block {
  /** Holds the block's first port. The kernel lets go of it when we end, however we end: no lock file can go stale. */
  guard: Server;
  next: number;
  end: number;
}

let current: Block | undefined;
let queue: Promise<unknown> = Promise.resolve();

/**
 * A free port on 127.0.0.1 that no other sandbox, test or demo on this machine will be given while this process lives.
 *
 * get-port alone can't promise that: it remembers what it gave within one process only. So each process owns whole blocks of
 * ports: a block belongs to whoever listens on its first port.
 *
 * All blocks are below the kernel's range for outgoing connections. A port from that range is a trap for anything that is
 * restarted: while the server is down, a client that keeps reconnecting can be given that very port as its own, be
 * connected to itself, and the server can't come back.
 * @throws Error when every block is taken.
 */
export function freePort(): Promise<number> {
  const mine = queue.then(nextPort);
  queue = mine.catch(() => {});
  return mine;
}

/**
 * Throws if something listens on this port of 127.0.0.1. Asked before a start: otherwise a stranger's answer could be taken
 * for the health of a program that has not come up.
 */
export async function assertPortFree(port: number, whatFor: string): Promise<void> {
  const probe = await listenOn(port);
  if (probe === undefined) {
    throw new Error(
      `${whatFor}: port ${port} on ${LOOPBACK} is taken. Choose another, or find who has it with: ss -ltnp 'sport = :${port}'`,
    );
  }
  await new Promise((resolve) => probe.close(resolve));
}

async function nextPort(): Promise<number> {
  for (;;) {
    current ??= await claimBlock();
    if (current.next > current.end) {
      current = undefined; // Its guard goes on listening: the ports given from it stay ours.
      continue;
    }
    const from = current.next;
    const candidates = from === current.end ? [from] : portNumbers(from, current.end);
    const port = await getPort({ host: LOOPBACK, port: candidates, reserve: true });
    if (port < from || port > current.end) {
      current = undefined; // get-port falls back to any port when all wanted ones are taken: not what was asked.
      continue;
    }
    current.next = port + 1;
    return port;
  }
}

async function claimBlock(): Promise<Block> {
  const count = Math.floor((Math.min(HIGHEST, lowestOutgoingPort()) - LOWEST) / BLOCK_SIZE);
  const first = Math.floor(Math.random() * count);
  for (let i = 0; i < count; i++) {
    const start = LOWEST + ((first + i) % count) * BLOCK_SIZE;
    const guard = await listenOn(start);
    if (guard !== undefined) return { guard: guard.unref(), next: start + 1, end: start + BLOCK_SIZE - 1 };
  }
  throw new Error(
    `No free block of ${BLOCK_SIZE} ports between ${LOWEST} and ${HIGHEST} on ${LOOPBACK}. See what holds them with: ss -ltn`,
  );
}

/** A listener on that port, or undefined if the port is taken or not ours to take. */
function listenOn(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', () => resolve(undefined));
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => resolve(server));
  });
}

function lowestOutgoingPort(): number {
  try {
    const low = Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/)[0]);
    // A machine that gives nearly all ports to outgoing connections leaves no room below: better a small risk than no port.
    return low >= LOWEST + 100 * BLOCK_SIZE ? low : HIGHEST;
  } catch {
    return HIGHEST; // Not Linux; macOS gives outgoing connections 49152 and up.
  }
}

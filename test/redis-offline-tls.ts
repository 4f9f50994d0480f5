/**
 * AWS as the worker sees it, with nodes that speak TLS: those of the sandbox take plain connections, whatever their group
 * says. In front of each node of an encrypted group stands a TLS server, and AWS's answers name its port.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { createServer as createTlsServer } from 'node:tls';
import type { Aws } from '../sandbox/aws/index.ts';
import { certificate } from './stage/certificate.ts';

export class TlsFront {
  /** For AWS_ENDPOINT_URL. */
  url = '';
  /** The authority's PEM file. */
  readonly ca: string;
  private readonly aws: Aws;
  private readonly key: string;
  private readonly groups = new Set<string>();
  private readonly servers: Server[] = [];
  private readonly sockets = new Set<Socket>();
  /** The port of the TLS server by the node's own. */
  private readonly fronts = new Map<number, Promise<number>>();

  private constructor(aws: Aws, dir: string) {
    this.aws = aws;
    mkdirSync(dir, { recursive: true });
    ({ cert: this.ca, key: this.key } = certificate(dir, 'DNS:localhost,IP:127.0.0.1'));
  }

  static async open(aws: Aws, dir: string): Promise<TlsFront> {
    const front = new TlsFront(aws, dir);
    const server = createServer((request, response) => {
      front.pass(request, response).catch(() => response.destroy());
    });
    front.servers.push(server);
    front.url = `http://127.0.0.1:${await listening(server)}`;
    return front;
  }

  /** This group's nodes are reached by TLS alone from here on. */
  encrypt(group: string): void {
    this.groups.add(group);
  }

  /** Where a client reaches this node. */
  async endpoint({ host, port }: { host: string; port: number }): Promise<{ host: string; port: number }> {
    return { host, port: await this.frontOf(port) };
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await Promise.all(this.servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  private async pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!this.sockets.has(request.socket)) this.keep(request.socket);
    const { hostname, port } = new URL(this.aws.url);
    const { method, headers, url: path } = request;
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = httpRequest({ hostname, port, method, headers, path }, resolve).on('error', reject);
      request.pipe(outgoing);
      response.once('close', () => {
        if (!response.writableFinished) outgoing.destroy();
      });
    });
    if (!/xml/.test(answer.headers['content-type'] ?? '')) {
      response.writeHead(answer.statusCode!, answer.headers);
      return pipeline(answer, response);
    }
    const text = await this.encrypted(Buffer.concat(await answer.toArray()).toString('utf8'));
    const { 'transfer-encoding': _chunked, ...rest } = answer.headers;
    response.writeHead(answer.statusCode!, { ...rest, 'content-length': Buffer.byteLength(text) }).end(text);
  }

  private async encrypted(xml: string): Promise<string> {
    let text = xml;
    for (const group of this.groups) {
      for (const { port } of this.aws.control.nodes({ group })) {
        text = text.replaceAll(`<Port>${port}</Port>`, `<Port>${await this.frontOf(port)}</Port>`);
      }
    }
    return text;
  }

  private frontOf(port: number): Promise<number> {
    const known = this.fronts.get(port);
    if (known) return known;
    const server = createTlsServer({ cert: readFileSync(this.ca), key: readFileSync(this.key) }, (socket) => {
      const node = this.keep(connect(port, '127.0.0.1'));
      this.keep(socket).pipe(node).pipe(socket);
      const end = () => {
        socket.destroy();
        node.destroy();
      };
      for (const one of [socket, node]) one.once('error', end).once('close', end);
    });
    this.servers.push(server);
    const front = listening(server);
    this.fronts.set(port, front);
    return front;
  }

  private keep(socket: Socket): Socket {
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    return socket;
  }
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: 0 }, resolve);
  });
  return (server.address() as AddressInfo).port;
}

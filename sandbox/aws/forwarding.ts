import { request as httpRequest } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';

/** A second server, or a function that starts it when it is first needed. */
export type ForwardTo = string | (() => Promise<string>);

/** Passes calls of other services on, unchanged, to a server that emulates them. It is looked up at the first such call. */
export class Forwarder {
  readonly #to: ForwardTo | undefined;
  #url: Promise<string> | undefined;

  constructor(to: ForwardTo | undefined) {
    this.#to = to;
  }

  /** @throws Error with what to do when there is no such server, or it cannot be started. */
  async url(): Promise<string> {
    const to = this.#to;
    if (to === undefined) {
      throw new Error(
        'This sandbox itself serves ElastiCache and DMS only; it was started without a server for other AWS services (option `forward` of startAws).',
      );
    }
    // Forgotten when it fails: the next call tries again.
    this.#url ??= (typeof to === 'string' ? Promise.resolve(to) : to()).catch((error: unknown) => {
      this.#url = undefined;
      throw error;
    });
    return this.#url;
  }

  /**
   * @param body what was read of the request already; undefined to stream it.
   * @returns the answer's HTTP status.
   */
  async pass(request: IncomingMessage, body: Buffer | undefined, response: ServerResponse): Promise<number> {
    const target = new URL(await this.url());
    const headers = { ...request.headers };
    // Our own server has said "100 Continue" already.
    delete headers.expect;
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = httpRequest(
        { host: target.hostname, port: target.port, method: request.method, path: request.url, headers },
        resolve,
      );
      outgoing.on('error', reject);
      // A caller that gives up must not leave its request open on the other side.
      response.once('close', () => {
        if (!response.writableFinished) outgoing.destroy();
      });
      if (body === undefined) request.pipe(outgoing);
      else outgoing.end(body);
    });
    const status = answer.statusCode ?? 502;
    response.writeHead(status, answer.headers);
    await pipeline(answer, response);
    return status;
  }
}

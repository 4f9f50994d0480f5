/**
 * Addresses to which somebody without credentials can upload the parts of one upload, for a while. They have all but the
 * number and the signature in common, so that the addresses of many parts fit into one command.
 */
import { UploadPartCommand, type S3Client } from '@aws-sdk/client-s3';
import { s3 } from '../aws/clients.ts';
import { awsFailure } from '../aws/failure.ts';
import { address, nameOf, type Destination } from './multipart-state.ts';

export interface PresignedParts {
  /** With what all parts have in common; ends in the middle of the query. */
  base: string;
  /** To be appended for a part: `&partNumber=3&X-Amz-Signature=…`. */
  suffix: Map<number, string>;
}

/** What is used of the SDK's request. */
interface Request {
  protocol: string;
  hostname: string;
  port?: number;
  path: string;
  query?: Record<string, string | string[] | null>;
  headers: Record<string, string>;
  body?: unknown;
}

/** The SDK's own signer. */
interface Presigner {
  presign(request: Request, options: { expiresIn: number; signingDate: Date }): Promise<Request>;
}

/** Of the client, and not in its type: what it signs its own requests with. */
interface SigningConfig {
  signerConstructor: new (settings: Record<string, unknown>) => Presigner;
}

const OF_ONE_PART = ['partNumber', 'X-Amz-Signature'];

/**
 * @param seconds How long they hold; with credentials of a role no longer than those
 * @throws cutover.Denied without credentials
 */
export async function presignParts(
  to: Destination,
  uploadId: string,
  numbers: readonly number[],
  seconds: number,
): Promise<PresignedParts> {
  const client = s3(to.aws);
  try {
    const presigner = presignerOf(client);
    const signingDate = new Date();
    const suffix = new Map<number, string>();
    let base: string | undefined;
    for (const number of numbers) {
      const request = await requestFor(client, { ...address(to), UploadId: uploadId, PartNumber: number });
      const signed = await presigner.presign(request, { expiresIn: seconds, signingDate });
      const query = Object.entries(signed.query ?? {}).filter(([, value]) => value !== null);
      const shared = `${origin(signed)}${signed.path}?${encoded(query.filter(([name]) => !OF_ONE_PART.includes(name)))}`;
      if (base !== undefined && base !== shared)
        throw new Error('the addresses of two parts differ in more than they may');
      base = shared;
      suffix.set(number, `&${encoded(query.filter(([name]) => OF_ONE_PART.includes(name)))}`);
    }
    return { base: base ?? '', suffix };
  } catch (error) {
    throw awsFailure(error, `signing the addresses of parts of ${nameOf(to)}`);
  }
}

function presignerOf(client: S3Client): Presigner {
  const { region, credentials, sha256, signerConstructor } = client.config as S3Client['config'] & SigningConfig;
  return new signerConstructor({
    service: 's3',
    region,
    credentials,
    sha256,
    uriEscapePath: false,
    applyChecksum: false,
  });
}

/** The request as the SDK would send it, with no header but its host: whoever uses the address sends its own. */
async function requestFor(
  client: S3Client,
  input: ConstructorParameters<typeof UploadPartCommand>[0],
): Promise<Request> {
  const command = new UploadPartCommand(input);
  let built: Request | undefined;
  command.middlewareStack.add(
    () => (args) => {
      built = args.request as Request;
      return Promise.resolve({ output: { $metadata: {} }, response: {} });
    },
    { step: 'finalizeRequest', priority: 'high', name: 'cutoverKeepRequest' },
  );
  await client.send(command);
  if (!built) throw new Error('the SDK has built no request');
  const { host = built.hostname, ...more } = built.headers;
  const owner = more['x-amz-expected-bucket-owner'];
  built.headers = { host, ...(owner === undefined ? {} : { 'x-amz-expected-bucket-owner': owner }) };
  // As S3 has it for addresses: the body is not known yet.
  built.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD';
  delete built.body;
  return built;
}

function origin({ protocol, hostname, port }: Request): string {
  return `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`;
}

function encoded(query: [string, string | string[] | null][]): string {
  return query.map(([name, value]) => `${escaped(name)}=${escaped(String(value))}`).join('&');
}

/** RFC 3986, as signatures are computed. */
function escaped(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

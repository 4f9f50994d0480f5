import type { IncomingMessage } from 'node:http';
import { AwsFault } from './faults.ts';

/** Who calls which service, from the SigV4 header, or from the query of a presigned URL. The signature itself is not checked: any secret is as good as another. */
export interface Caller {
  accessKeyId: string;
  region: string;
  service: string;
}

const SCOPE = String.raw`([^/\s]+)\/\d{8}\/([^/\s]+)\/([^/\s]+)\/aws4_request`;
const HEADER = new RegExp(String.raw`^AWS4-HMAC-SHA256\s.*Credential=${SCOPE}`);
const QUERY = new RegExp(`^${SCOPE}$`);

/** @returns undefined for an unsigned request. @throws AwsFault IncompleteSignature when the signature is no SigV4. */
export function callerOf(request: IncomingMessage): Caller | undefined {
  const { authorization } = request.headers;
  const presigned = new URL(request.url ?? '/', 'http://sandbox').searchParams.get('X-Amz-Credential');
  if (authorization === undefined && presigned === null) return undefined;
  const found = authorization === undefined ? QUERY.exec(presigned ?? '') : HEADER.exec(authorization);
  if (found === null || (authorization !== undefined && !/Signature=[0-9a-f]{64}/.test(authorization))) {
    throw new AwsFault('IncompleteSignature', 'The request does not have a complete AWS Signature Version 4.');
  }
  const [, accessKeyId = '', region = '', service = ''] = found;
  return { accessKeyId, region, service };
}

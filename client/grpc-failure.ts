/** What Temporal's client throws, as errors that name the address and the mend. */
import { isGrpcServiceError, type Client, type Connection } from '@temporalio/client';
import { NamespaceNotFoundError } from '@temporalio/common';
import { CutoverError, Failed, Unreachable } from './errors.ts';

/** gRPC's status codes that are met here. */
export const Grpc = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  FAILED_PRECONDITION: 9,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

interface GrpcError {
  code: number;
  details: string;
}

/** The gRPC error within whatever the SDK wrapped it in. */
export function grpcError(error: unknown): GrpcError | undefined {
  for (let inner: unknown = error; inner instanceof Error; inner = inner.cause) {
    if (isGrpcServiceError(inner)) return { code: inner.code, details: inner.details };
  }
  return undefined;
}

/** The error of a connection that could not be made. Never quotes the settings, which may hold an API key. */
export function connectionFailure(error: unknown, address: string, namespace: string): CutoverError {
  return (
    explained(error, address, namespace) ??
    new Unreachable(address, `Temporal can't be reached at ${address}: ${lastLine(error)}`, {
      mend: `is it running, and is the address right? Set --address or TEMPORAL_ADDRESS; a local one: npx cutover sandbox up`,
      cause: error,
    })
  );
}

/** Runs one call with a deadline (a server that hangs must not hang the terminal), and explains how it failed. */
export async function call<T>(client: Client, timeoutMs: number, body: () => Promise<T>): Promise<T> {
  try {
    return await client.withDeadline(Date.now() + timeoutMs, body);
  } catch (error) {
    throw explained(error, addressOf(client), client.options.namespace) ?? error;
  }
}

export function addressOf(client: Client): string {
  return (client.connection as Partial<Connection>).options?.address ?? 'its address';
}

function explained(error: unknown, address: string, namespace: string): CutoverError | undefined {
  if (error instanceof CutoverError) return error;
  if (error instanceof NamespaceNotFoundError) return noNamespace(error, address, namespace);
  const grpc = grpcError(error);
  const about = { cause: error };
  switch (grpc?.code) {
    case Grpc.UNAVAILABLE:
    case Grpc.DEADLINE_EXCEEDED:
      return new Unreachable(address, `Temporal at ${address} does not answer: ${grpc.details}`, {
        ...about,
        mend: 'is it running, and is the address right? Set --address or TEMPORAL_ADDRESS',
      });
    case Grpc.UNAUTHENTICATED:
    case Grpc.PERMISSION_DENIED:
      return new Unreachable(address, `Temporal at ${address} refuses us: ${grpc.details}`, {
        ...about,
        mend: 'look at the API key or the certificates: TEMPORAL_API_KEY, TEMPORAL_TLS_…, --profile',
      });
    case Grpc.NOT_FOUND:
      return /namespace/i.test(grpc.details) ? noNamespace(error, address, namespace) : undefined;
    case Grpc.INVALID_ARGUMENT:
      return /search attribute/i.test(grpc.details) ? noSearchAttributes(grpc.details, namespace, error) : undefined;
    default:
      return undefined;
  }
}

function noNamespace(error: unknown, address: string, namespace: string): Unreachable {
  return new Unreachable(address, `Temporal at ${address} has no namespace "${namespace}"`, {
    mend: 'set --namespace or TEMPORAL_NAMESPACE, or make it: temporal operator namespace create -n <name>',
    cause: error,
  });
}

function noSearchAttributes(details: string, namespace: string, error: unknown): Failed {
  const make = ['CutoverKind Keyword', 'CutoverPhase Keyword', 'CutoverStep Keyword', 'CutoverNeedsOperator Bool']
    .map((attribute) => attribute.split(' '))
    .map(([name, type]) => `--name ${name} --type ${type}`)
    .join(' ');
  return new Failed(`Temporal does not know cutover's search attributes (${details})`, {
    mend: `once per namespace: temporal operator search-attribute create -n ${namespace} ${make}; or start a worker first, which does it`,
    cause: error,
  });
}

function lastLine(error: unknown): string {
  let message = error instanceof Error ? error.message : String(error);
  for (let inner = error; inner instanceof Error; inner = inner.cause) message = inner.message || message;
  if (/before the deadline/.test(message)) return 'nothing answers';
  return message.trim().split('\n')[0]!;
}

/** What each AWS error means for a retry. One table; names and codes as facts/redis-aws 3.2, 3.6 and postgres-dms 4.3 have them. */

/**
 * - `retry`: a hiccup, soon over
 * - `slow`: throttled, or the service itself is in trouble: retried with longer pauses
 * - `busy`: the resource is in a state that will pass; retried slowly, and no failure
 * - `never`: the same call will always be answered the same
 * - `unknown`: not in the table; retried, because most new codes are of a passing kind and a step's deadline ends it
 */
export type Retry = 'retry' | 'slow' | 'busy' | 'never' | 'unknown';
export type Meaning = 'throttled' | 'busy' | 'denied' | 'invalid' | 'notFound' | 'unreachable';

interface Row {
  test: RegExp;
  retry: Retry;
  meaning: Meaning;
  remedy?: string;
}

const CREDENTIALS = "check the worker's credentials: `aws sts get-caller-identity` on the worker must answer";

/** First match wins, so quotas stand before throttling's wider patterns, and states before the invalid ones. */
const TABLE: readonly Row[] = [
  // APICallRateForCustomerExceeded is the one the SDK does not retry by itself [measured, facts 3.2].
  {
    test: /^(Throttling|ThrottlingException|ThrottledException|RequestThrottled\w*|RequestLimitExceeded|TooManyRequestsException|APICallRateForCustomerExceeded|SlowDown|BandwidthLimitExceeded|ProvisionedThroughputExceededException|PriorRequestNotComplete|TooManyUpdates|EC2ThrottledException|KMSThrottling)(Fault)?$/,
    retry: 'slow',
    meaning: 'throttled',
    remedy: 'nothing to do: it is tried again, slower; lower the number of migrations at once if it goes on',
  },
  {
    test: /Quota\w*(Exceeded|Fault)|LimitExceeded|QuotaExceeded|InsufficientCacheClusterCapacity|^InsufficientResourceCapacity|^TooMany(Targets|Registrations\w*|Actions|Rules|Listeners)|AssociationLimit/i,
    retry: 'never',
    meaning: 'invalid',
    remedy: 'raise the quota (Service Quotas), or free what is no longer needed, then retry the step',
  },
  {
    test: /^Invalid\w*State(Fault|Exception)?$|^(UpdateInProgressException|ResourceInUseException|ServiceNotActiveException)$|^IncorrectInstanceState$/,
    retry: 'busy',
    meaning: 'busy',
  },
  // DMS says all of these of a key that it may not use; they stand before the wider patterns of states and names.
  {
    test: /^KMS(Fault|AccessDenied\w*|Disabled\w*|InvalidState\w*|NotFound\w*|KeyNotAccessible\w*)$/,
    retry: 'never',
    meaning: 'denied',
    remedy: 'enable the KMS key, and let DMS and the worker use it (its key policy), then retry the step',
  },
  {
    test: /^(AccessDenied|AccessDeniedException|UnauthorizedOperation|NotAuthorized|OptInRequired|AccessDeniedFault|S3AccessDenied\w*|SNSNoAuthorization\w*|OperationNotPermitted\w*)$/,
    retry: 'never',
    meaning: 'denied',
    remedy: "give the worker's role the permission that the message names (docs list them all), then retry the step",
  },
  {
    test: /^(InvalidClientTokenId|UnrecognizedClient|UnrecognizedClientException|SignatureDoesNotMatch|InvalidSignatureException|IncompleteSignature|MissingAuthenticationToken\w*|AuthFailure|InvalidAccessKeyId|NotSignedUp)$/,
    retry: 'never',
    meaning: 'denied',
    remedy: CREDENTIALS,
  },
  {
    test: /^(ExpiredToken|ExpiredTokenException|RequestExpired|TokenRefreshRequired|CredentialsProviderError)$/,
    retry: 'never',
    meaning: 'denied',
    remedy: `${CREDENTIALS}; expired ones must be renewed, and a skewed clock of the machine put right`,
  },
  // A bare `NotFound` is what the SDK makes of a 404 with nothing of the service's in it: a proxy, a wrong address.
  {
    test: /^\w+NotFound(Fault|Exception|Error)?$|^\w+\.NotFound$|^NoSuch\w+$|^InvocationDoesNotExist$/,
    retry: 'never',
    meaning: 'notFound',
    remedy: 'check the name, the region and the account of the worker',
  },
  {
    test: /^(InvalidParameter\w*|InvalidAction|MissingParameter|ValidationError|ValidationException|ClientException|MalformedQueryString|MalformedInput\w*|InvalidRequest\w*|InvalidInput\w*|SerializationException|UnsupportedOperation\w*|UnknownOperation\w*|ParameterPatternMismatchException|ParameterMaxVersionLimitExceeded|HierarchyTypeMismatchException|ParameterVersionNotFound|\w*FeatureNotSupported(Fault)?|\w*AlreadyExists(Fault|Exception)?|ReplicationGroup(Already|Not)UnderMigrationFault|MigrationHealthFault|PlatformTaskDefinitionIncompatibilityException|PlatformUnknownException|InvalidSubnet|SubnetAlreadyInUse|ReplicationSubnetGroupDoesNotCoverEnoughAZs|SNSInvalidTopic(Fault)?|InvalidCertificate(Fault)?|UpgradeDependencyFailure(Fault)?|InvalidOperation(Fault|Exception)?|FailedDependency(Fault)?|InvalidTarget(Exception)?|InvalidConfigurationRequest(Exception)?|IncompatibleProtocols(Exception)?|UnsupportedProtocol(Exception)?|PriorityInUse(Exception)?)$/,
    retry: 'never',
    meaning: 'invalid',
  },
  // By status 501 a trouble of the server's own, that would be tried for ever.
  {
    test: /^NotImplemented$/,
    retry: 'never',
    meaning: 'invalid',
    remedy: 'what answers at this endpoint (AWS_ENDPOINT_URL?) does not have this call: it is not AWS itself',
  },
  {
    test: /^(InternalFailure|InternalError|InternalServerError|InternalServiceError|InternalServiceErrorException|ServerException|ServiceUnavailable|ServiceUnavailableException|ServiceLinkedRoleNotFoundFault|HealthUnavailable(Exception)?)$/,
    retry: 'slow',
    meaning: 'unreachable',
  },
  {
    test: /^(RequestTimeout|RequestTimeoutException|TimeoutError|AbortError|NetworkingError)$/,
    retry: 'retry',
    meaning: 'unreachable',
  },
];

/** The table's row for an error's name or wire code; undefined where it has none. */
export function rowFor(code: string): { retry: Retry; meaning: Meaning; remedy?: string } | undefined {
  return TABLE.find((row) => row.test.test(code));
}

/** What each SQLSTATE means for a retry. One table; codes as PostgreSQL's appendix A has them. */
import { ErrorType } from '../../spec/errors.ts';

export interface ErrorRow {
  test: RegExp;
  type: ErrorType;
  /** True where the same statement may succeed later. */
  retry: boolean;
  /** How long to wait before that, ms, where the policy's own pause is too short. */
  afterMs?: number;
  remedy?: string;
}

/** First match wins: single codes stand before their classes. */
const TABLE: readonly ErrorRow[] = [
  {
    test: /^28/,
    type: ErrorType.denied,
    retry: false,
    remedy: 'check user and password in the file, and that pg_hba.conf lets the worker in with them',
  },
  {
    test: /^42501$/,
    type: ErrorType.denied,
    retry: false,
    remedy: "give the worker's role what the message names; docs/postgres-dms.md lists all that it needs",
  },
  { test: /^3D000$/, type: ErrorType.notFound, retry: false, remedy: 'check `database` in the file' },
  // A server that starts, stops or recovers answers these; so does a session that somebody ended.
  { test: /^(08...|57P0[1-5]|25P03)$/, type: ErrorType.unreachable, retry: true },
  { test: /^(53...|57014)$/, type: ErrorType.busy, retry: true, afterMs: 5_000 },
  // A lock that was not had in time, a deadlock, a conflict of two transactions: the next try may win.
  { test: /^(55P03|55006|40001|40P01|40003)$/, type: ErrorType.busy, retry: true, afterMs: 1_000 },
  { test: /^(42P01|42703|42704|42883|3F000)$/, type: ErrorType.notFound, retry: false },
  {
    test: /^25006$/,
    type: ErrorType.invalid,
    retry: false,
    remedy: 'is the server a standby, or default_transaction_read_only set for it, the database or the role?',
  },
  { test: /^23/, type: ErrorType.differs, retry: false },
  { test: /^(58...|XX...|F0...)$/, type: ErrorType.serviceFailed, retry: true, afterMs: 5_000 },
  { test: /^[0-9A-Z]{5}$/, type: ErrorType.invalid, retry: false },
];

/** Of Node's sockets and TLS, and of pg itself, which gives no code. */
const CONNECTION: readonly ErrorRow[] = [
  {
    test: /SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY)|CERT_|ERR_TLS|DEPTH_ZERO/,
    type: ErrorType.denied,
    retry: false,
    remedy:
      'name the authority of the server’s certificate: tls: { ca: /path.pem } (for RDS the global bundle, https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem)',
  },
  {
    test: /does not support SSL/i,
    type: ErrorType.invalid,
    retry: false,
    remedy: 'the server speaks no TLS: turn `ssl` on there, or set tls: false in the file',
  },
  {
    test: /client password must be a string|no password|SASL/i,
    type: ErrorType.denied,
    retry: false,
    remedy: 'name the password in the file: password: { env: NAME }',
  },
];

/** The table's row for a SQLSTATE; undefined for what is none. */
export function rowForState(state: string): ErrorRow | undefined {
  return TABLE.find((row) => row.test.test(state));
}

/** The row for an error that did not come from the server's SQL layer. */
export function rowForConnection(text: string): ErrorRow | undefined {
  return CONNECTION.find((row) => row.test.test(text));
}

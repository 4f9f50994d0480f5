/** The command that counts a type's members; of a string, its bytes. A type of a module has none. */
export const LENGTH_COMMANDS: Readonly<Record<string, string>> = {
  string: 'STRLEN',
  list: 'LLEN',
  set: 'SCARD',
  zset: 'ZCARD',
  hash: 'HLEN',
  stream: 'XLEN',
};

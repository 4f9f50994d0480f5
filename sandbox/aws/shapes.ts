/** The types of AWS's query protocol, as far as ElastiCache's inputs use them. */
export type Shape = 'string' | 'boolean' | 'integer' | 'timestamp' | ListShape | StructShape | EnumShape;

/** `element` is the name in the key of a form: `SnapshotArns.SnapshotArn.1` (facts/redis-aws 5.1). */
export interface ListShape {
  list: string;
  of: Shape;
}

export interface StructShape {
  struct: Record<string, Shape>;
}

export interface EnumShape {
  oneOf: readonly string[];
}

export interface Operation {
  required: readonly string[];
  members: Record<string, Shape>;
}

/** Reads docker-compose.yml as Docker does: merge keys, and `${NAME:-default}` from the environment. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';

const service = z.object({
  image: z.string(),
  build: z.object({ context: z.string(), target: z.string() }).optional(),
  entrypoint: z.array(z.string()).optional(),
  command: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string().nullable()).default({}),
  ports: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  networks: z.array(z.string()).optional(),
  network_mode: z.string().optional(),
  configs: z.array(z.object({ source: z.string(), target: z.string() })).default([]),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
  healthcheck: z.object({ test: z.array(z.string()) }).optional(),
  restart: z.string(),
  stop_grace_period: z.string().optional(),
  profiles: z.array(z.string()).default([]),
});
const composeFile = z.object({
  services: z.record(z.string(), service),
  networks: z.record(z.string(), z.unknown()),
  volumes: z.record(z.string(), z.unknown()),
  configs: z.record(z.string(), z.object({ content: z.string() })),
});

export type Service = z.infer<typeof service>;
export type ComposeFile = z.infer<typeof composeFile>;

/** As written, with YAML's merge keys applied. */
export function parsedCompose(file: string): unknown {
  return parse(readFileSync(file, 'utf8'), { merge: true });
}

/** With every variable filled in: `variables` first, then the file's own defaults. */
export function readCompose(file: string, variables: Record<string, string> = {}): ComposeFile {
  return composeFile.parse(filledIn(parsedCompose(file), variables));
}

function filledIn(value: unknown, variables: Record<string, string>): unknown {
  if (typeof value === 'string') {
    return value.replaceAll(
      /\$(?:(\$)|\{(\w+):-([^}]*)\})/g,
      (_all, dollar?: string, name?: string, fallback?: string) =>
        dollar === undefined ? (variables[name ?? ''] ?? fallback ?? '') : '$',
    );
  }
  if (Array.isArray(value)) return value.map((item) => filledIn(item, variables));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filledIn(item, variables)]));
}
